//! A `weir` that runs, and what it said when it ended.

use std::fs::File;
use std::io::Read;
use std::io::Seek;
use std::io::Write;
use std::process::Child;
use std::process::Command;
use std::thread;
use std::time::Duration;

/// Looks so often at most, 2 ms apart: twenty seconds.
const LOOKS: u32 = 10_000;

/// A process that ends with this value, if not before. Its output goes to files, so it never waits for a reader.
pub(super) struct Running {
    child: Child,
    out: File,
    err: File,
}

/// How it ended.
pub(super) struct Answer {
    pub(super) code: i32,
    pub(super) out: String,
    pub(super) err: String,
}

impl Running {
    /// Starts `command` with `input` on its standard input.
    pub(super) fn start(command: &mut Command, input: &[u8]) -> Self {
        let [mut stdin, out, err] = [(); 3].map(|()| tempfile::tempfile().unwrap());
        stdin.write_all(input).unwrap();
        stdin.rewind().unwrap();
        command.stdin(stdin).stdout(out.try_clone().unwrap()).stderr(err.try_clone().unwrap());
        Self { child: command.spawn().unwrap(), out, err }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// `kill -9`.
    pub(super) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What Ctrl-C does.
    pub(super) fn interrupt(&self) {
        assert!(Command::new("kill").args(["-INT", &self.id().to_string()]).status().unwrap().success());
    }

    /// Waits for its end, which must come by itself.
    pub(super) fn finish(mut self) -> Answer {
        until("its end", || self.has_ended());
        let code = self.child.wait().unwrap().code().unwrap();
        Answer { code, out: read(&mut self.out), err: read(&mut self.err) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Of a process that has ended there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Answer {
    /// It must have succeeded.
    pub(super) fn done(self) -> Self {
        assert_eq!(self.code, 0, "{}", self.err);
        self
    }

    /// Was it refused as bad input, with nothing printed and a message that names all of `names`?
    pub(super) fn assert_refused(&self, names: &[&str]) {
        assert_eq!((self.code, self.out.as_str()), (2, ""), "wanted {names:?}, got: {}", self.err);
        for name in names {
            assert!(self.err.contains(name), "no {name:?} in: {}", self.err);
        }
    }
}

/// Waits until another process has brought `what` about.
#[expect(clippy::disallowed_methods, reason = "another process is watched from outside: there is nothing to await")]
pub(super) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..LOOKS {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(2));
    }
    panic!("waited in vain for {what}");
}

fn read(file: &mut File) -> String {
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}
