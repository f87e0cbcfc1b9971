//! Where does output go? Data to stdout, narrative to stderr; a broken pipe is quiet.

use crate::error::Chain;
use std::error::Error;
use std::io::Write;

/// The only way to print.
#[derive(Clone, Copy, Debug, Default)]
pub struct Printer;

impl Printer {
    /// Writes data to stdout as it is; `false` when nobody reads on (`| head`), which is no error.
    pub fn data(self, text: &str) -> bool {
        let mut out = std::io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        written.is_ok()
    }

    /// Writes a line of narrative to stderr.
    pub fn say(self, line: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }

    /// Writes an error with its causes to stderr.
    pub fn error(self, error: &(dyn Error + 'static)) {
        self.say(&format!("error: {}", Chain(error)));
    }
}
