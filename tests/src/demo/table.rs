//! Tables: boxes for a terminal, columns as kubectl prints them elsewhere.

/// A header and rows; columns are as wide as their widest cell.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column titles.
    pub fn new(header: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            rows: vec![header.into_iter().map(Into::into).collect()],
        }
    }

    /// Add a row, with as many cells as the header has.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The lines of the table. Columns of numbers are aligned to the right.
    pub fn lines(&self, boxes: bool) -> Vec<String> {
        let columns = self.columns();
        let cells = |row: &Vec<String>| -> Vec<String> {
            let cells = columns.iter().zip(row);
            cells.map(|(column, cell)| column.align(cell)).collect()
        };
        if !boxes {
            let lines = self.rows.iter().map(|row| cells(row).join("   "));
            return lines.map(|line| line.trim_end().to_owned()).collect();
        }
        let mut lines = vec![rule(&columns, ["┌", "┬", "┐"])];
        for (index, row) in self.rows.iter().enumerate() {
            if index == 1 {
                lines.push(rule(&columns, ["├", "┼", "┤"]));
            }
            lines.push(format!("│ {} │", cells(row).join(" │ ")));
        }
        lines.push(rule(&columns, ["└", "┴", "┘"]));
        lines
    }

    fn columns(&self) -> Vec<Column> {
        let count = self.rows.first().map_or(0, Vec::len);
        let column = |index: usize| self.rows.iter().map(move |row| row[index].as_str());
        (0..count)
            .map(|index| Column {
                width: column(index).map(|cell| cell.chars().count()).max().unwrap_or_default(),
                numbers: column(index)
                    .skip(1)
                    .all(|cell| cell == "-" || cell.parse::<usize>().is_ok()),
            })
            .collect()
    }
}

struct Column {
    width: usize,
    numbers: bool,
}

impl Column {
    fn align(&self, cell: &str) -> String {
        let width = self.width;
        if self.numbers {
            format!("{cell:>width$}")
        } else {
            format!("{cell:<width$}")
        }
    }
}

fn rule(columns: &[Column], [left, middle, right]: [&str; 3]) -> String {
    let parts: Vec<String> = columns.iter().map(|column| "─".repeat(column.width + 2)).collect();
    format!("{left}{}{right}", parts.join(middle))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(["Deployment", "us"]);
        table.row(["web", "14"]);
        table.row(["db", "-"]);
        table
    }

    #[test]
    fn a_terminal_gets_boxes() {
        let expected = [
            "┌────────────┬────┐",
            "│ Deployment │ us │",
            "├────────────┼────┤",
            "│ web        │ 14 │",
            "│ db         │  - │",
            "└────────────┴────┘",
        ];
        assert_eq!(table().lines(true), expected);
    }

    #[test]
    fn a_file_gets_columns() {
        assert_eq!(
            table().lines(false),
            ["Deployment   us", "web          14", "db            -"]
        );
    }
}
