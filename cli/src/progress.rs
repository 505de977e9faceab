//! What is going on, on standard error: standard output is for results.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;

use anstyle::{AnsiColor, Style};

/// Tells what is going on. On a terminal the line of what is waited for changes in place.
#[derive(Debug, Default)]
pub struct Progress {
    terminal: bool,
    /// What is waited for, if that was the last thing said.
    waiting: Mutex<Option<String>>,
}

impl Progress {
    /// On standard error.
    pub fn new() -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
            waiting: Mutex::default(),
        }
    }

    /// Something is done.
    pub fn done(&self, text: &str) {
        self.clear();
        let style = Style::new().fg_color(Some(AnsiColor::Green.into()));
        anstream::eprintln!("{style}✓{style:#} {text}");
    }

    /// Something to know.
    pub fn say(&self, text: &str) {
        self.clear();
        anstream::eprintln!("{text}");
    }

    /// Something that may be wrong.
    pub fn warn(&self, text: &str) {
        self.clear();
        let style = Style::new().fg_color(Some(AnsiColor::Yellow.into()));
        anstream::eprintln!("{style}warning:{style:#} {text}");
    }

    /// Something is waited for. Said once for each text; on a terminal until something else is said.
    pub fn wait(&self, text: &str) {
        let mut waiting = self.waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if waiting.as_deref() == Some(text) {
            return;
        }
        *waiting = Some(text.to_owned());
        match self.terminal {
            true => {
                let width = 100;
                let short: String = text.chars().take(width).collect();
                anstream::eprint!("\r\x1b[2K… {short}");
                let _ = std::io::stderr().flush();
            }
            false => anstream::eprintln!("… {text}"),
        }
    }

    fn clear(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if waiting.take().is_some() && self.terminal {
            anstream::eprint!("\r\x1b[2K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
