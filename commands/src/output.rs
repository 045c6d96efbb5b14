//! What a person or a program reads: data on stdout, everything else on stderr, and nothing after the reader has gone.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::error::{CommandError, Result, exit};

/// When colours are used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How to speak to the person.
#[derive(Debug, Clone)]
pub struct Output {
    /// Whether data is printed as JSON.
    pub json: bool,
    /// Whether notes are left out.
    pub quiet: bool,
    /// Whether data may be coloured.
    pub color: bool,
    sink: Sink,
}

#[derive(Debug, Clone)]
enum Sink {
    Standard,
    Captured(Arc<Mutex<String>>),
}

impl Output {
    /// Speaks through the standard streams.
    #[must_use]
    pub fn standard(json: bool, quiet: bool, color: ColorChoice, no_color: bool) -> Self {
        let color = match color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => !no_color && std::io::stdout().is_terminal(),
        };
        Self { json, quiet, color, sink: Sink::Standard }
    }

    /// Keeps everything in a text, for a caller that shows it elsewhere.
    #[must_use]
    pub fn captured() -> (Self, Arc<Mutex<String>>) {
        let text = Arc::new(Mutex::new(String::new()));
        (Self { json: false, quiet: false, color: false, sink: Sink::Captured(text.clone()) }, text)
    }

    /// Prints a line of data.
    ///
    /// # Errors
    /// When the reader has gone or the stream cannot be written.
    pub fn line(&self, text: &str) -> Result<()> {
        self.raw(&format!("{text}\n"))
    }

    /// Prints data as it is.
    ///
    /// # Errors
    /// When the reader has gone or the stream cannot be written.
    pub fn raw(&self, text: &str) -> Result<()> {
        match &self.sink {
            Sink::Standard => {
                let mut out = std::io::stdout().lock();
                out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| match error.kind() {
                    // A reader that has seen enough is no failure.
                    std::io::ErrorKind::BrokenPipe => CommandError::new(0, "broken_pipe", ""),
                    _ => unprinted(&error),
                })
            }
            Sink::Captured(kept) => {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
                Ok(())
            }
        }
    }

    /// Prints a document, on one line.
    ///
    /// # Errors
    /// When the reader has gone or the stream cannot be written.
    pub fn json(&self, document: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_string(document)?;
        text.push('\n');
        self.raw(&text)
    }

    /// Says something beside the data.
    pub fn note(&self, text: &str) {
        if self.quiet {
            return;
        }
        match &self.sink {
            Sink::Standard => {
                // Where even stderr is gone there is nobody left to tell.
                drop(writeln!(std::io::stderr().lock(), "{text}"));
            }
            Sink::Captured(kept) => {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.push_str(text);
                kept.push('\n');
            }
        }
    }

    /// Paints a word, if colours are used. `code` is the parameter of an SGR sequence (ECMA-48).
    #[must_use]
    pub fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// What was asked for may be done: whoever only repeats the command would do it twice.
fn unprinted(error: &std::io::Error) -> CommandError {
    CommandError::new(exit::FAILED, "unprinted", format!("the answer cannot be written to standard output: {error}"))
        .hint("What was asked for may be done all the same: look with `pipeline status` before you repeat it.")
}
