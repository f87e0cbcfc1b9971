//! `lastwatch parse`: what do log lines mean, one JSON object a line?

use super::{Exit, Printer};
use crate::observe::logs::parse::{Reader, TextFormat, to_json};
use clap::{Args, Subcommand};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;

/// What is parsed.
#[derive(Debug, Subcommand)]
pub(super) enum ParseCommand {
    /// The log of the container `istio-proxy`: access lines, pilot-agent's lines, Envoy's own.
    IstioProxy(IstioProxyArgs),
}

#[derive(Debug, Args)]
pub(super) struct IstioProxyArgs {
    /// The log; `-` or nothing for stdin.
    file: Option<PathBuf>,
    /// Envoy format string of the access lines, where the mesh has one of its own.
    #[arg(long)]
    format: Option<String>,
}

/// Output is written in pieces of this size: as large as a pipe's buffer.
const PIECE: usize = 64 * 1024;

/// Reads to the end of the input; ends with 0 whatever the lines are.
pub(super) fn run(command: ParseCommand, printer: Printer) -> Exit {
    let ParseCommand::IstioProxy(args) = command;
    let format = match args.format.as_deref().map(TextFormat::new).transpose() {
        Ok(format) => format,
        Err(error) => {
            printer.error(&error);
            return Exit::Usage;
        }
    };
    let (input, place): (Box<dyn BufRead>, String) = match &args.file {
        Some(path) if path.as_os_str() != "-" => match File::open(path) {
            Ok(file) => (Box::new(BufReader::new(file)), path.display().to_string()),
            Err(error) => {
                printer.say(&format!(
                    "error: failed to read `{}`: {error}",
                    path.display()
                ));
                printer.say("hint: name a log file, or `-` for stdin");
                return Exit::Usage;
            }
        },
        _ => (Box::new(io::stdin().lock()), "stdin".to_owned()),
    };
    match parse(input, Reader::new(format), printer) {
        Ok(()) => Exit::Pass,
        Err(error) => {
            printer.say(&format!("error: failed to read `{place}`: {error}"));
            Exit::Usage
        }
    }
}

fn parse(mut input: Box<dyn BufRead>, mut reader: Reader, printer: Printer) -> io::Result<()> {
    let mut raw = Vec::new();
    let mut out = String::new();
    let mut number = 0;
    loop {
        raw.clear();
        // What was read before an error is printed before the error.
        let read = input.read_until(b'\n', &mut raw);
        if matches!(read, Ok(1..)) {
            number += 1;
            let text = String::from_utf8_lossy(&raw);
            let text = text.trim_end_matches(['\n', '\r']);
            out.push_str(&to_json(number, &reader.read(text).line, text));
            out.push('\n');
        }
        let ended = !matches!(read, Ok(1..));
        if (ended || out.len() >= PIECE) && !printer.data(&out) {
            return Ok(());
        }
        if ended {
            return read.map(|_| ());
        }
        if out.len() >= PIECE {
            out.clear();
        }
    }
}
