//! A command as Markdown.

use clap::{Arg, Command};

/// A command, and its subcommands below it, with headings of that many `#`.
pub fn command(command: &Command, heading: &str) -> String {
    let mut text = about(command);
    text += &flags(command.get_arguments().filter(|arg| !arg.is_hide_set()));
    for sub in command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
    {
        let path = sub.get_bin_name().unwrap_or(sub.get_name());
        text += &format!("\n{heading} {path}\n\n```text\n{}\n```\n\n", usage(sub));
        text += &about(sub);
        // Those of all commands stand above.
        text += &flags(
            sub.get_arguments()
                .filter(|arg| !arg.is_hide_set() && !arg.is_global_set()),
        );
        text += &after(sub);
    }
    text + &after(command)
}

fn usage(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    usage.trim_start_matches("Usage: ").to_owned()
}

fn about(command: &Command) -> String {
    match command.get_long_about().or(command.get_about()) {
        Some(about) => format!("{about}\n\n"),
        None => String::new(),
    }
}

fn after(command: &Command) -> String {
    match command.get_after_help() {
        Some(after) => format!("\n```text\n{after}\n```\n"),
        None => String::new(),
    }
}

fn flags<'a>(args: impl Iterator<Item = &'a Arg>) -> String {
    let args: Vec<&Arg> = args
        .filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version"))
        .collect();
    if args.is_empty() {
        return String::new();
    }
    let with_env = args.iter().any(|arg| arg.get_env().is_some());
    let (head, line) = match with_env {
        true => ("| flag | environment | default | meaning |", "|---|---|---|---|"),
        false => ("| flag | default | meaning |", "|---|---|---|"),
    };
    let rows = args.iter().map(|arg| {
        let env = arg
            .get_env()
            .map(|env| format!("`{}`", env.to_string_lossy()))
            .unwrap_or_default();
        let env = if with_env { format!(" {env} |") } else { String::new() };
        format!("| {} |{env} {} | {} |\n", name(arg), default(arg), meaning(arg))
    });
    format!("{head}\n{line}\n{}", rows.collect::<String>())
}

fn name(arg: &Arg) -> String {
    let value = arg
        .get_value_names()
        .and_then(|names| names.first())
        .map(ToString::to_string);
    let value = value.filter(|_| arg.get_action().takes_values());
    match (arg.get_long(), arg.get_short(), value) {
        (Some(long), Some(short), Some(value)) => format!("`-{short}`, `--{long} {value}`"),
        (Some(long), Some(short), None) => format!("`-{short}`, `--{long}`"),
        (Some(long), None, Some(value)) => format!("`--{long} {value}`"),
        (Some(long), None, None) => format!("`--{long}`"),
        (None, _, _) => format!("`{}`", arg.get_id().as_str().to_ascii_uppercase()),
    }
}

fn default(arg: &Arg) -> String {
    let values: Vec<_> = arg
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy())
        .collect();
    // `false` of a switch says nothing.
    match values.is_empty() || !arg.get_action().takes_values() {
        true => String::new(),
        false => format!("`{}`", values.join(",")),
    }
}

fn meaning(arg: &Arg) -> String {
    let help = arg
        .get_long_help()
        .or(arg.get_help())
        .map(ToString::to_string)
        .unwrap_or_default();
    let mut text = help.replace("\n\n", " ").replace('\n', " ").replace('|', "\\|");
    let values: Vec<_> = arg
        .get_possible_values()
        .iter()
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if !values.is_empty() && arg.get_action().takes_values() && values.len() < 6 {
        text += &format!(": {}", values.join(", "));
    }
    text
}
