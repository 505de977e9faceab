//! What the demo prints: for people on a terminal, plain lines elsewhere.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::table::Table;

/// How often progress is printed when it cannot be overwritten.
const PLAIN_PROGRESS: Duration = Duration::from_secs(2);

const BOLD: &str = "1";
const DIM: &str = "2";
const GREEN: &str = "32";
const CYAN: &str = "36";

/// Standard output.
pub struct Screen {
    terminal: bool,
    colour: bool,
    /// The step's number, title and beginning.
    step: (usize, String, Instant),
    /// The last progress and when it was printed.
    progress: Option<(String, Instant)>,
}

impl Screen {
    /// Finds out what standard output is; `NO_COLOR` and `TERM=dumb` are respected.
    pub fn new() -> Self {
        let dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
        let terminal = io::stdout().is_terminal() && !dumb;
        let no_colour = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            terminal,
            colour: terminal && !no_colour,
            step: (0, String::new(), Instant::now()),
            progress: None,
        }
    }

    /// Begin a step.
    pub fn step(&mut self, title: &str) {
        self.clear_progress();
        self.step = (self.step.0 + 1, title.to_owned(), Instant::now());
        let heading = self.paint(BOLD, &format!("{}. {title}", self.step.0));
        println!("\n{heading}");
    }

    /// The step that is under way, for messages.
    pub fn current(&self) -> String {
        format!("step {} ({})", self.step.0, self.step.1)
    }

    /// A command that a user would type.
    pub fn command(&mut self, command: &str) {
        self.clear_progress();
        println!("   {}", self.paint(CYAN, &format!("$ {command}")));
    }

    /// How far the step is. The next one replaces it on a terminal.
    pub fn progress(&mut self, text: &str) {
        if self.terminal {
            let seconds = self.step.2.elapsed().as_secs_f32();
            print!("\r\x1b[2K   {}", self.paint(DIM, &format!("… {text} ({seconds:.0} s)")));
            // Without its progress the demo is as good.
            let _ = io::stdout().flush();
            self.progress = Some((text.to_owned(), Instant::now()));
        } else if self
            .progress
            .as_ref()
            .is_none_or(|(last, when)| last != text && when.elapsed() >= PLAIN_PROGRESS)
        {
            println!("   ... {text}");
            self.progress = Some((text.to_owned(), Instant::now()));
        }
    }

    /// What has happened, and how long the step took until then.
    pub fn done(&mut self, text: &str) {
        self.clear_progress();
        let mark = self.paint(GREEN, if self.terminal { "✓" } else { "ok" });
        let time = self.paint(DIM, &format!("({:.1} s)", self.step.2.elapsed().as_secs_f32()));
        println!("   {mark} {text} {time}");
    }

    /// Lines as they are.
    pub fn lines<'a>(&mut self, lines: impl IntoIterator<Item = &'a str>) {
        self.clear_progress();
        for line in lines {
            println!("   {line}");
        }
    }

    /// A table.
    pub fn table(&mut self, table: &Table) {
        let lines = table.lines(self.terminal);
        self.lines(lines.iter().map(String::as_str));
    }

    /// A heading that is no step.
    pub fn heading(&mut self, text: &str) {
        self.clear_progress();
        println!("\n{}", self.paint(BOLD, text));
    }

    /// Remove the progress line, so that something else can be printed.
    pub fn clear_progress(&mut self) {
        if self.progress.take().is_some() && self.terminal {
            print!("\r\x1b[2K");
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
