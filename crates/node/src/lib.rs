//! The Node-API binding of `daemonic-core`: conversions, and nothing else.
//!
//! Every function catches panics, so that a panic becomes a JavaScript Error instead of killing Node. A failure is
//! returned as a `Refusal`; src/binding/addon.ts, which knows the error classes, throws it.
// Only code that the macros generate is unsafe.
#![deny(clippy::undocumented_unsafe_blocks)]
#![allow(clippy::needless_pass_by_value)] // arguments arrive by value from JavaScript
#![cfg_attr(test, allow(dead_code))] // a test build registers nothing with Node
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)] // JavaScript's numbers

mod arrival;
mod facts;
mod identity;
mod launch;
mod logs;
mod pid_file;
mod plan;
mod refusal;
mod resources;
mod service_manager;
mod signalling;
mod supervisor_client;
