//! Memory for a process that must outlive its system's shortage of it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Pause between two tries of an allocation.
const PAUSE: Duration = Duration::from_millis(200);
const WARNING: &[u8] = b"daemonic-supervisor: no memory: waiting for some\n";

/// Allocator that waits where there is no memory, and tries again: an allocation that fails would abort the process, and
/// a supervisor's workers are killed with it. What comes meanwhile, signals among it, is dealt with afterwards. Nothing
/// here allocates.
#[derive(Debug)]
pub struct Patient;

/// Whether the log says already that the process waits.
static IS_WAITING: AtomicBool = AtomicBool::new(false);

// SAFETY: every block comes from System, and goes back to it, with the caller's own layouts.
unsafe impl GlobalAlloc for Patient {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the layout is the caller's, whose size is not zero.
        until_there_is(|| unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the layout is the caller's, whose size is not zero.
        until_there_is(|| unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the block and its layout are the caller's; where realloc fails, the block is as it was.
        until_there_is(|| unsafe { System.realloc(block, layout, size) })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block came from System with this layout.
        unsafe { System.dealloc(block, layout) }
    }
}

fn until_there_is(allocate: impl Fn() -> *mut u8) -> *mut u8 {
    loop {
        let block = allocate();
        if !block.is_null() {
            IS_WAITING.store(false, Ordering::Relaxed);
            return block;
        }
        if !IS_WAITING.swap(true, Ordering::Relaxed) {
            let _ = super::fd::write_all(2, WARNING);
        }
        std::thread::sleep(PAUSE);
    }
}
