//! The Node-API binding of `daemonic-core`: conversions, and nothing else.
//!
//! Every function catches panics, so that one becomes a JavaScript Error instead of the end of Node. What fails is
//! returned as a `Refusal` and thrown by src/native.ts, which knows the error classes.
// The macros' own code is unsafe; ours isn't.
#![deny(clippy::undocumented_unsafe_blocks)]
#![allow(clippy::needless_pass_by_value)] // arguments arrive by value from JavaScript
#![cfg_attr(test, allow(dead_code))] // a test build registers nothing with Node
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)] // JavaScript's numbers

mod arrival;
mod control;
mod facts;
mod identity;
mod logs;
mod pid_file;
mod plan;
mod refusal;
mod start;
