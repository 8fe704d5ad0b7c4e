//! Small and read-only disks: tests that run once more, alone, where they may mount.

use std::path::Path;
use std::process::{Command, Stdio};

/// Runs an ignored test of this program in a mount namespace of its own. Where the system allows
/// none, it says so.
pub fn alone(test: &str) {
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--mount"]);
    let probe = "mount -t tmpfs none /tmp";
    let allowed = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", probe])
        .stderr(Stdio::null())
        .status();
    if !allowed.is_ok_and(|status| status.success()) {
        eprintln!("NOT TESTED: {test}: this system lets nobody mount");
        return;
    }
    let done = unshare
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            test,
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
}

fn mount(words: &[&str], at: &Path) {
    let done = Command::new("mount").args(words).arg(at).status().unwrap();
    assert!(done.success(), "mount {words:?}");
}

/// Puts a disk of 1 MiB onto a folder.
pub fn small_disk(at: &Path) {
    mount(&["-t", "tmpfs", "-o", "size=1m", "none"], at);
}

/// Makes a disk that was mounted here read-only, or writable again.
pub fn read_only(on: bool, at: &Path) {
    mount(&["-o", if on { "remount,ro" } else { "remount,rw" }], at);
}

/// Fills a disk to its last byte; the file to delete.
pub fn fill(at: &Path) -> std::path::PathBuf {
    use std::io::Write as _;
    let path = at.join("filler");
    let mut file = std::fs::File::create(&path).unwrap();
    for size in [64 << 10, 1 << 10, 1] {
        while file.write_all(&vec![b'x'; size]).is_ok() {}
    }
    path
}
