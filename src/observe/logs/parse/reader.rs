//! What does a line mean among its neighbours, and in a log whose format the scenario declares?

use super::{IstioLine, TextFormat, istio_proxy};

/// A message of several lines is written at once: no recorded line came more than a millisecond after
/// its first. An access log in an unknown format is written each second.
const MESSAGE: i64 = 500_000_000;

/// Reads the lines of one container in their order.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    format: Option<TextFormat>,
    in_message: bool,
    /// When the message began, by the log's stamps.
    begun: Option<i64>,
    /// How many lines were not understood: in no known format, and no continuations.
    pub unknown: u64,
}

/// A line and whether it goes on with the one before.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadLine<'a> {
    /// What it means by itself.
    pub line: IstioLine<'a>,
    /// It continues an agent's or Envoy's message of several lines.
    pub continuation: bool,
}

impl Reader {
    /// A reader that knows a custom TEXT format beside Istio's own.
    pub fn new(format: Option<TextFormat>) -> Self {
        Self {
            format,
            ..Self::default()
        }
    }

    /// Reads the next line, of which nobody says when it was written.
    pub fn read<'a>(&mut self, text: &'a str) -> ReadLine<'a> {
        self.read_at(text, None)
    }

    /// Reads the next line, written at that stamp (epoch nanoseconds).
    pub fn read_at<'a>(&mut self, text: &'a str, stamp: Option<i64>) -> ReadLine<'a> {
        let custom = self.format.as_ref().and_then(|format| format.read(text));
        let line = match custom {
            Some(access) => IstioLine::Access(Box::new(access)),
            None => istio_proxy(text),
        };
        let at_once = || {
            let since = self
                .begun
                .zip(stamp)
                .map(|(begun, at)| at.saturating_sub(begun));
            since.is_none_or(|since| since <= MESSAGE)
        };
        let continuation = line == IstioLine::Other && self.in_message && at_once();
        match line {
            IstioLine::Agent(_) | IstioLine::Envoy(_) => {
                self.in_message = true;
                self.begun = stamp;
            }
            IstioLine::Access(_) => self.in_message = false,
            IstioLine::Other => {
                self.in_message = continuation;
                self.unknown += u64::from(!continuation);
            }
        }
        ReadLine { line, continuation }
    }
}
