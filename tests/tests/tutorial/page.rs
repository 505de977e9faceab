//! A page of the documentation, as the commands that a reader types.

use anyhow::{Context, Result, bail};

/// A block of commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The heading that it stands under.
    pub section: String,
    /// What runs instead of it here, by a remark in the page's source: `<!-- stand-in: … -->`.
    pub stand_in: Option<String>,
    /// The commands.
    pub commands: String,
}

/// All blocks of commands (` ```sh `), in their order.
pub fn blocks(page: &str) -> Result<Vec<Block>> {
    let (mut found, mut section, mut remark) = (Vec::new(), String::new(), None);
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(heading) = line.strip_prefix("## ") {
            section = heading.to_owned();
        } else if let Some(text) = line.strip_prefix("<!-- stand-in: ") {
            remark = Some(
                text.strip_suffix(" -->")
                    .context("a remark without its end")?
                    .to_owned(),
            );
        } else if line == "```sh" {
            let commands: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            found.push(Block {
                section: section.clone(),
                stand_in: remark.take(),
                commands: commands.join("\n"),
            });
        } else if let Some(language) = line.strip_prefix("```") {
            lines.by_ref().take_while(|line| *line != "```").for_each(drop);
            if remark.is_some() {
                bail!("a remark before a block of {language:?}, which nobody runs");
            }
        }
    }
    Ok(found)
}
