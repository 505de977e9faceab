//! Tables, JSON and YAML on standard output.

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::args::Format;
use crate::failure::{Failure, problem};

/// How well something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Fine.
    Ok,
    /// Worth a look.
    Warning,
    /// Wrong.
    Error,
}

impl Level {
    /// Its colour on terminals that have colours.
    pub fn style(self) -> Style {
        let colour = match self {
            Self::Ok => AnsiColor::Green,
            Self::Warning => AnsiColor::Yellow,
            Self::Error => AnsiColor::Red,
        };
        Style::new().fg_color(Some(colour.into()))
    }

    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A cell of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    text: String,
    level: Option<Level>,
}

impl Cell {
    /// A cell with a colour.
    pub fn marked(text: impl Into<String>, level: Level) -> Self {
        Self {
            level: Some(level),
            ..Self::from(text.into())
        }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        // A line break from outside would end the row, and an escape sequence would reach the terminal.
        let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Self {
            text: clean,
            level: None,
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

/// A table in kubectl's manner: a line of headers, columns three spaces apart, no frame.
#[derive(Clone, Debug, Default)]
pub struct Table {
    headers: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty one.
    pub fn new(headers: impl Into<Vec<&'static str>>) -> Self {
        Self {
            headers: headers.into(),
            rows: Vec::new(),
        }
    }

    /// Add a row.
    pub fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        self.rows.push(cells.into());
    }

    /// Has it no rows?
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Its lines, with escape sequences for colours.
    pub fn render(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let widths = cells.map(|cell| cell.text.chars().count());
            widths.chain([self.headers[column].len()]).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..self.headers.len()).map(width).collect();
        let headers: Vec<Cell> = self.headers.iter().map(|header| Cell::from(*header)).collect();
        let mut text = String::new();
        for row in std::iter::once(&headers).chain(&self.rows) {
            let last = row.len().saturating_sub(1);
            for (column, cell) in row.iter().enumerate() {
                let style = cell.level.map(Level::style).unwrap_or_default();
                text.push_str(&format!("{style}{}{style:#}", cell.text));
                if column < last {
                    let pad = widths[column] + 3 - cell.text.chars().count();
                    text.extend(std::iter::repeat_n(' ', pad));
                }
            }
            text.push('\n');
        }
        text
    }
}

/// Write a result: as the text for people, or as what it is.
pub fn write<T: Serialize>(format: Format, result: &T, people: impl FnOnce() -> String) -> Result<(), Failure> {
    let text = match format {
        Format::Table => people(),
        Format::Json => serde_json::to_string_pretty(result).map_err(|error| problem(error.to_string()))? + "\n",
        Format::Yaml => serde_saphyr::to_string(result).map_err(|error| problem(error.to_string()))?,
    };
    anstream::print!("{text}");
    Ok(())
}

/// A span of time as kubectl writes it: `5s`, `3m`, `2h`, `8d`.
pub fn age(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_their_headers() {
        let mut table = Table::new(["NAME", "READY"]);
        table.row(["a".into(), Cell::marked("True", Level::Ok)]);
        table.row(["longer-name".into(), "False".into()]);
        let plain = anstream::adapter::strip_str(&table.render()).to_string();
        assert_eq!(plain, "NAME          READY\na             True\nlonger-name   False\n");
    }

    #[test]
    fn text_from_outside_cannot_draw_on_the_terminal() {
        let mut table = Table::new(["NAME"]);
        table.row(["a\n\u{1b}[31mb".into()]);
        assert_eq!(
            anstream::adapter::strip_str(&table.render()).to_string(),
            "NAME\na  [31mb\n"
        );
    }

    #[test]
    fn ages_are_short() {
        for (seconds, text) in [(-5, "0s"), (90, "90s"), (600, "10m"), (86400, "24h"), (864_000, "10d")] {
            assert_eq!(age(seconds), text);
        }
    }
}
