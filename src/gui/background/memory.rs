//! Memory that was freed, back to the system.

/// Gives back what was freed. glibc keeps what each thread once needed, in case it is needed again: tens
/// of MiB after a few searches, of which the window uses nothing.
pub(crate) fn give_back() {
    // SAFETY: always safe to call, from any thread; it takes the allocator's own locks.
    #[cfg(target_env = "gnu")]
    unsafe {
        nix::libc::malloc_trim(0);
    }
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use super::give_back;
    use crate::files::read_text;
    use std::path::Path;

    /// Resident memory of the process, MiB.
    fn resident() -> Option<u64> {
        let text = read_text(Path::new("/proc/self/status")).ok()?;
        let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
        let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kib >> 10)
    }

    #[test]
    fn memory_that_a_thread_has_freed_is_given_back() {
        const BLOCKS: usize = 8192;
        let work = || {
            let mut blocks: Vec<Vec<u8>> = (0..BLOCKS).map(|n| vec![n as u8; 8192]).collect();
            let full = resident();
            // The last one stays, so that the arena has no free end that glibc gives back by itself.
            let last = blocks.pop();
            drop(blocks);
            (full.unwrap(), last)
        };
        let thread = std::thread::Builder::new().name("work".into()).spawn(work);
        let (full, last) = thread.unwrap().join().unwrap();
        let freed = resident().unwrap();
        assert!(freed + 16 > full, "{freed} of {full} MiB are kept");
        give_back();
        let now = resident().unwrap();
        assert!(now + 32 < full, "{now} of {full} MiB are still there");
        assert_eq!(last.map(|b| b.len()), Some(8192));
    }
}
