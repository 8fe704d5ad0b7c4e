//! A machine reached over ssh: an sshd of its own on this one, and a link to it that can be cut.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_dlaplan");

/// An sshd of our own on a free port of this machine, and a client configuration for it.
pub struct Board {
    pub dir: tempfile::TempDir,
    daemon: Child,
    /// The worker's program, where no other test has it.
    pub program: PathBuf,
}

impl Drop for Board {
    fn drop(&mut self) {
        self.daemon.kill().unwrap();
        self.daemon.wait().unwrap();
    }
}

pub fn ran(command: &mut Process) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

impl Board {
    /// `None` where there is no OpenSSH or it lets nobody in.
    pub fn new() -> Option<Self> {
        let sshd = Path::new("/usr/sbin/sshd");
        if !sshd.exists() || !Path::new("/usr/bin/ssh").exists() {
            return None;
        }
        // Debian's service makes it; sshd insists on it.
        let _not_root = fs::create_dir_all("/run/sshd");
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        for key in ["id", "host", "other"] {
            let made = ran(Process::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(at.join(key)));
            assert!(made.status.success(), "{made:?}");
        }
        fs::copy(at.join("id.pub"), at.join("authorized_keys")).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let here = at.display();
        fs::write(
            at.join("sshd_config"),
            format!(
                "Port {port}\nListenAddress 127.0.0.1\nHostKey {here}/host\n\
                 AuthorizedKeysFile {here}/authorized_keys\nPasswordAuthentication no\nUsePAM no\n\
                 StrictModes no\nPidFile none\nPermitRootLogin prohibit-password\n\
                 SetEnv HOME={here}/home\n"
            ),
        )
        .unwrap();
        fs::write(
            at.join("ssh_config"),
            format!(
                "Host board\nHostName 127.0.0.1\nPort {port}\nIdentityFile {here}/id\n\
                 IdentitiesOnly yes\nUserKnownHostsFile {here}/known_hosts\n\
                 GlobalKnownHostsFile none\n"
            ),
        )
        .unwrap();
        fs::create_dir(at.join("home")).unwrap();
        let bin = at.join("bin");
        fs::create_dir(&bin).unwrap();
        let ssh = format!("#!/bin/sh\nexec /usr/bin/ssh -F {here}/ssh_config \"$@\"\n");
        fs::write(bin.join("ssh"), ssh).unwrap();
        fs::set_permissions(bin.join("ssh"), fs::Permissions::from_mode(0o755)).unwrap();
        let program = at.join("dlaplan");
        fs::copy(PROGRAM, &program).unwrap();
        let daemon = Process::new(sshd)
            .args(["-D", "-e", "-f"])
            .arg(at.join("sshd_config"))
            .stderr(fs::File::create(at.join("sshd.log")).unwrap())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let board = Self {
            dir,
            daemon,
            program,
        };
        board.listens(port).then_some(board)
    }

    fn listens(&self, port: u16) -> bool {
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // Accounts may be locked on a machine for builds.
        let inside = ran(self
            .ssh()
            .args(["-o", "StrictHostKeyChecking=no", "board", "true"]));
        let _none = fs::remove_file(self.dir.path().join("known_hosts"));
        if !inside.status.success() {
            eprintln!("no way in: {}", String::from_utf8_lossy(&inside.stderr));
        }
        inside.status.success()
    }

    pub fn ssh(&self) -> Process {
        let mut ssh = Process::new(self.dir.path().join("bin/ssh"));
        ssh.args(["-o", "BatchMode=yes"]);
        ssh
    }

    /// Lets the client know a host key.
    pub fn introduce(&self, key: &str) {
        let key = fs::read_to_string(self.dir.path().join(key)).unwrap();
        let config = fs::read_to_string(self.dir.path().join("ssh_config")).unwrap();
        let port = config
            .lines()
            .find_map(|l| l.strip_prefix("Port "))
            .unwrap();
        let known = format!("[127.0.0.1]:{port} {key}");
        fs::write(self.dir.path().join("known_hosts"), known).unwrap();
    }

    /// As [`Self::new`], and the way to it leads through a link that can be cut.
    pub fn behind_a_link() -> Option<(Self, Link)> {
        let board = Self::new()?;
        let link = Link::to(board.port());
        board.lead_through(&link);
        board.introduce("host.pub");
        Some((board, link))
    }

    pub fn lead_through(&self, link: &Link) {
        let path = self.dir.path().join("ssh_config");
        let config = fs::read_to_string(&path).unwrap();
        let port = |l: &str| match l.strip_prefix("Port ") {
            Some(_) => format!("Port {}\n", link.port),
            None => format!("{l}\n"),
        };
        let config: String = config.lines().map(port).collect();
        fs::write(&path, config).unwrap();
    }

    pub fn port(&self) -> u16 {
        let config = fs::read_to_string(self.dir.path().join("sshd_config")).unwrap();
        let port = config.lines().find_map(|l| l.strip_prefix("Port "));
        port.unwrap().parse().unwrap()
    }

    pub fn wait_for_workers(&self, count: usize, within: Duration) {
        let begun = Instant::now();
        while self.workers() != count {
            assert!(begun.elapsed() < within, "not {count} workers");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn profile(&self, program: &Path) -> Output {
        ran(Process::new(PROGRAM)
            .args(["profile", "bundled:resnet18", "--no-history", "--on"])
            .arg(format!("board:{}", program.display()))
            .env("PATH", self.path()))
    }

    /// dlaplan with the board's ssh in its path.
    pub fn dlaplan(&self, args: &[&str]) -> Output {
        ran(Process::new(PROGRAM).args(args).env("PATH", self.path()))
    }

    /// A search path that has the board's ssh first.
    pub fn path(&self) -> String {
        let path = std::env::var("PATH").unwrap();
        format!("{}:{path}", self.dir.path().join("bin").display())
    }

    /// Lets this board's ssh reach another one too, as `name`.
    pub fn knows(&self, other: &Self, name: &str) {
        let config =
            |board: &Self| fs::read_to_string(board.dir.path().join("ssh_config")).unwrap();
        let theirs = config(other).replace("Host board\n", &format!("Host {name}\n"));
        fs::write(self.dir.path().join("ssh_config"), config(self) + &theirs).unwrap();
    }

    /// dlaplan without its debug information, where that can be taken off.
    pub fn stripped(&self) -> PathBuf {
        let to = self.dir.path().join("stripped");
        match Process::new("strip")
            .arg("-o")
            .arg(&to)
            .arg(PROGRAM)
            .status()
        {
            Ok(done) if done.success() => to,
            _ => PathBuf::from(PROGRAM),
        }
    }

    /// All files below the board's home.
    pub fn at_home(&self) -> Vec<PathBuf> {
        files_below(&self.dir.path().join("home"))
    }

    pub fn workers(&self) -> usize {
        let own = self.program.as_os_str().as_encoded_bytes();
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let lines = processes.filter_map(|p| fs::read(p.path().join("cmdline")).ok());
        lines
            .filter(|line| line.split(|b| *b == 0).next() == Some(own))
            .count()
    }
}

/// All files below a folder, links among them.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A port of this machine that leads to another one until the link is cut: then nothing passes
/// and nobody is told.
pub struct Link {
    pub port: u16,
    pub cut: Arc<AtomicBool>,
    pub passed: Arc<AtomicU64>,
}

impl Link {
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let link = Self {
            port: listener.local_addr().unwrap().port(),
            cut: Arc::default(),
            passed: Arc::default(),
        };
        let (cut, passed) = (Arc::clone(&link.cut), Arc::clone(&link.passed));
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let near = near.unwrap();
                let far = TcpStream::connect(("127.0.0.1", port)).unwrap();
                for (mut from, mut to) in [
                    (near.try_clone().unwrap(), far.try_clone().unwrap()),
                    (far, near),
                ] {
                    let (cut, passed) = (Arc::clone(&cut), Arc::clone(&passed));
                    std::thread::spawn(move || {
                        let mut part = vec![0; 1 << 16];
                        while let Ok(n) = from.read(&mut part) {
                            while cut.load(Ordering::Relaxed) {
                                std::thread::park();
                            }
                            passed.fetch_add(n as u64, Ordering::Relaxed);
                            if n == 0 || to.write_all(&part[..n]).is_err() {
                                let _gone = to.shutdown(Shutdown::Both);
                                return;
                            }
                        }
                    });
                }
            }
        });
        link
    }

    pub fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
    }
}

pub fn fingerprint(key: &Path) -> String {
    let shown = ran(Process::new("ssh-keygen").arg("-lf").arg(key));
    let text = said(&shown);
    text.split_whitespace().nth(1).unwrap().to_owned()
}
