//! How shells complete the commands.

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use crate::args::{Args, Global};
use crate::contexts::Contexts;
use crate::failure::Failure;

/// For `completion --help`.
pub const HELP: &str = "For `kubectl-multicluster` itself, with bash:
  source <(kubectl multicluster completion bash)

For `kubectl multicluster`, kubectl runs the program kubectl_complete-multicluster of your PATH. Make it so:
  cat > kubectl_complete-multicluster <<'EOF'
  #!/bin/sh
  exec kubectl multicluster __complete \"$@\"
  EOF
  chmod +x kubectl_complete-multicluster";

/// What cobra's scripts understand: candidates follow, and no file names (`ShellCompDirectiveNoFileComp`).
const NO_FILES: &str = ":4";

/// Write the script for a shell.
pub fn script(shell: Shell) -> Result<(), Failure> {
    clap_complete::generate(
        shell,
        &mut Args::command(),
        "kubectl-multicluster",
        &mut std::io::stdout(),
    );
    Ok(())
}

/// Write the candidates for the last word, as kubectl expects them of plugins.
pub fn answer(global: &Global, words: &[String]) -> Result<(), Failure> {
    let contexts = Contexts::read(global).ok();
    let names = contexts
        .iter()
        .flat_map(Contexts::names)
        .map(str::to_owned)
        .collect::<Vec<_>>();
    for candidate in candidates(&mut Args::command(), words, &names) {
        anstream::println!("{candidate}");
    }
    anstream::println!("{NO_FILES}");
    Ok(())
}

/// What the last word can be.
fn candidates(root: &mut Command, words: &[String], contexts: &[String]) -> Vec<String> {
    root.build();
    let (last, before) = words
        .split_last()
        .map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let mut command = &*root;
    for word in before {
        if let Some(sub) = command.find_subcommand(word) {
            command = sub;
        }
    }
    let flag = before.last().and_then(|word| word.strip_prefix("--"));
    let options = || command.get_arguments().filter(|arg| !arg.is_hide_set());
    let value_of = flag.and_then(|flag| options().find(|arg| arg.get_long() == Some(flag)));
    let found: Vec<String> = match value_of.filter(|arg| arg.get_action().takes_values()) {
        Some(arg) => match arg
            .get_value_names()
            .and_then(|names| names.first())
            .map(|name| name.as_str())
        {
            Some("CONTEXT") => contexts.to_vec(),
            _ => values(arg),
        },
        None if last.starts_with('-') => options()
            .filter_map(|arg| arg.get_long())
            .map(|long| format!("--{long}"))
            .collect(),
        None => {
            let commands = command.get_subcommands().filter(|sub| !sub.is_hide_set());
            let positional = command.get_positionals().flat_map(values);
            commands
                .map(|sub| sub.get_name().to_owned())
                .chain(positional)
                .collect()
        }
    };
    found
        .into_iter()
        .filter(|candidate| candidate.starts_with(last))
        .collect()
}

fn values(arg: &clap::Arg) -> Vec<String> {
    arg.get_possible_values()
        .iter()
        .map(|value| value.get_name().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(words: &[&str]) -> Vec<String> {
        let words: Vec<_> = words.iter().map(|&word| word.to_owned()).collect();
        candidates(&mut Args::command(), &words, &["eu".into(), "us".into()])
    }

    #[test]
    fn commands_flags_and_values_are_completed() {
        assert_eq!(complete(&["con"]), ["connect"]);
        assert!(complete(&[""]).contains(&"status".into()) && !complete(&[""]).contains(&"__complete".into()));
        assert_eq!(complete(&["connect", "--sou"]), ["--source", "--source-name"]);
        assert_eq!(complete(&["connect", "--credentials", ""]), ["token", "identity"]);
        assert_eq!(complete(&["connect", "--source", ""]), ["eu", "us"]);
        assert_eq!(complete(&["status", "--context", "u"]), ["us"]);
        assert!(complete(&["completion", "b"]).contains(&"bash".into()));
        assert_eq!(complete(&["status", "--output", "j"]), ["json"]);
    }
}
