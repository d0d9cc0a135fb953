//! The kernel, one module a concept. The only place with unsafe code.

pub mod close;
pub mod credentials;
pub mod event_loop;
pub mod fd;
pub mod interrupt;
pub mod limit;
pub mod lock;
pub mod memory_file;
pub mod passing;
pub mod pidfd;
pub mod process;
pub mod signal;
pub mod title;
