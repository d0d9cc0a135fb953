//! System calls, one module for each concept of the kernel. The only place with unsafe code.

pub mod allocator;
pub mod close;
pub mod credentials;
pub mod descendants;
pub mod event_loop;
pub mod exec;
pub mod fd;
pub mod fork;
pub mod interrupt;
pub mod limit;
pub mod listening;
pub mod lock;
pub mod memory_file;
pub mod passing;
pub mod path;
mod pidfd;
pub mod priority;
pub mod proc_stat;
pub mod process;
pub mod process_handle;
pub mod signal;
pub mod spawn;
pub mod title;
