//! What does a line mean among its neighbours, and in a log whose format the scenario declares?

use super::{IstioLine, TextFormat, istio_proxy};

/// Reads the lines of one container in their order.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    format: Option<TextFormat>,
    in_message: bool,
    /// How many lines were in no known format, continuations included.
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

    /// Reads the next line.
    pub fn read<'a>(&mut self, text: &'a str) -> ReadLine<'a> {
        let custom = self.format.as_ref().and_then(|format| format.read(text));
        let line = match custom {
            Some(access) => IstioLine::Access(Box::new(access)),
            None => istio_proxy(text),
        };
        let continuation = line == IstioLine::Other && self.in_message;
        match line {
            IstioLine::Agent(_) | IstioLine::Envoy(_) => self.in_message = true,
            IstioLine::Access(_) => self.in_message = false,
            IstioLine::Other => self.unknown += 1,
        }
        ReadLine { line, continuation }
    }
}
