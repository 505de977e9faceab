//! A kubelet's parameters as those of an API server. Pure.
//!
//! Only what is known passes, so that nothing a caller writes means something else in the target; values that are no good
//! are for the API server there to refuse, whose words reach the caller.

use form_urlencoded::{Serializer, parse};

use crate::paths::Stream;

/// What an API server is asked for logs with, under the same names as a kubelet is.
const LOGS: [&str; 8] = [
    "follow",
    "limitBytes",
    "previous",
    "sinceSeconds",
    "sinceTime",
    "stream",
    "tailLines",
    "timestamps",
];
/// Ports of one port-forward over WebSocket.
const MOST_PORTS: usize = 64;

/// Parameters by which nothing can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadQuery {
    /// Nothing would be streamed.
    #[error("you must specify at least 1 of stdin, stdout, stderr")]
    NoStreams,
    /// A port that is none.
    #[error("write a port from 1 to 65535")]
    Port,
    /// Too many of them.
    #[error("too many ports at a time")]
    TooManyPorts,
}

/// The query for a delegate.
pub fn translate(stream: &Stream<'_>, query: &str) -> Result<String, BadQuery> {
    match stream {
        Stream::Logs { container } => Ok(logs(container, query)),
        Stream::Exec { container } => streams(container, query, true),
        Stream::Attach { container } => streams(container, query, false),
        Stream::PortForward => ports(query),
    }
}

/// Is the log to be followed?
pub fn follows(query: &str) -> bool {
    parse(query.as_bytes()).any(|(key, value)| key == "follow" && value == "true")
}

fn logs(container: &str, query: &str) -> String {
    let mut wanted = Serializer::new(String::new());
    wanted.append_pair("container", container);
    let mut seen = [false; LOGS.len()];
    for (key, value) in parse(query.as_bytes()) {
        // What there was before `tailLines`.
        let key = match key.as_ref() {
            "tail" if value == "all" => continue,
            "tail" => "tailLines",
            key => key,
        };
        // A key that is there twice counts once, as the kubelet has it.
        if let Some(place) = LOGS.iter().position(|known| *known == key)
            && !std::mem::replace(&mut seen[place], true)
        {
            wanted.append_pair(key, &value);
        }
    }
    wanted.finish()
}

fn streams(container: &str, query: &str, exec: bool) -> Result<String, BadQuery> {
    let (mut stdin, mut stdout, mut stderr, mut tty) = (None, None, None, None);
    let mut command = vec![];
    for (key, value) in parse(query.as_bytes()) {
        let flag = match key.as_ref() {
            "input" => &mut stdin,
            "output" => &mut stdout,
            "error" => &mut stderr,
            "tty" => &mut tty,
            "command" if exec => {
                command.push(value);
                continue;
            }
            _ => continue,
        };
        flag.get_or_insert(value == "1");
    }
    let (stdin, stdout, tty) = (stdin == Some(true), stdout == Some(true), tty == Some(true));
    // A terminal has one way out.
    let stderr = stderr == Some(true) && !tty;
    if !(stdin || stdout || stderr) {
        return Err(BadQuery::NoStreams);
    }
    let mut wanted = Serializer::new(String::new());
    wanted.append_pair("container", container);
    // An API server takes standard output and error for wanted where nothing is said of them.
    for (key, flag) in [("stdin", stdin), ("stdout", stdout), ("stderr", stderr), ("tty", tty)] {
        wanted.append_pair(key, if flag { "true" } else { "false" });
    }
    wanted.extend_pairs(command.iter().map(|part| ("command", part)));
    Ok(wanted.finish())
}

/// None at all with SPDY, whose streams say it.
fn ports(query: &str) -> Result<String, BadQuery> {
    let mut wanted = Serializer::new(String::new());
    let mut count = 0;
    for (key, value) in parse(query.as_bytes()) {
        if !matches!(key.as_ref(), "port" | "ports") {
            continue;
        }
        for port in value.split(',') {
            let port: u16 = port.trim().parse().map_err(|_| BadQuery::Port)?;
            if port == 0 {
                return Err(BadQuery::Port);
            }
            count += 1;
            wanted.append_pair("ports", &port.to_string());
        }
    }
    match count > MOST_PORTS {
        true => Err(BadQuery::TooManyPorts),
        false => Ok(wanted.finish()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const C: &str = "c";

    #[test]
    fn logs_keep_their_parameters_and_no_others() {
        let query = "follow=true&tailLines=5&insecureSkipTLSVerifyBackend=true&container=other&sinceTime=2030-01-01T00%3A00%3A00Z";
        let wanted = "container=c&follow=true&tailLines=5&sinceTime=2030-01-01T00%3A00%3A00Z";
        assert_eq!(logs(C, query), wanted);
        assert_eq!(logs(C, "tail=7&tailLines=9"), "container=c&tailLines=7");
        assert_eq!(logs(C, "tail=all"), "container=c");
        assert!(follows(query) && !follows("follow=false") && !follows(""));
    }

    #[test]
    fn exec_and_attach_have_other_names_for_their_streams() {
        let exec = |query| translate(&Stream::Exec { container: C }, query);
        let wanted = "container=c&stdin=true&stdout=true&stderr=true&tty=false&command=sh&command=-c&command=a+b%26c";
        assert_eq!(
            exec("command=sh&command=-c&command=a+b%26c&input=1&output=1&error=1"),
            Ok(wanted.into())
        );
        let wanted = "container=c&stdin=false&stdout=true&stderr=false&tty=true&command=top";
        assert_eq!(
            exec("command=top&output=1&error=1&tty=1"),
            Ok(wanted.into()),
            "a terminal has no stderr"
        );
        assert_eq!(
            exec("command=ls&output=true"),
            Err(BadQuery::NoStreams),
            "only 1 is yes"
        );
        let attach = translate(&Stream::Attach { container: C }, "output=1&command=rm");
        assert_eq!(
            attach,
            Ok("container=c&stdin=false&stdout=true&stderr=false&tty=false".into())
        );
    }

    #[test]
    fn ports_are_a_list_or_nothing() {
        let forward = |query| translate(&Stream::PortForward, query);
        assert_eq!(forward(""), Ok(String::new()));
        assert_eq!(forward("port=80,443"), Ok("ports=80&ports=443".into()));
        for wrong in ["port=0", "port=65536", "port=http", "port="] {
            assert_eq!(forward(wrong), Err(BadQuery::Port), "{wrong}");
        }
        assert_eq!(forward(&"port=1&".repeat(MOST_PORTS + 1)), Err(BadQuery::TooManyPorts));
    }

    proptest! {
        #[test]
        fn a_command_arrives_as_it_was_given(command in prop::collection::vec(".*", 1..5)) {
            let mut query = Serializer::new(String::new());
            query.append_pair("output", "1").extend_pairs(command.iter().map(|part| ("command", part)));
            let translated = translate(&Stream::Exec { container: C }, &query.finish()).unwrap();
            let arrived: Vec<_> = parse(translated.as_bytes()).filter(|(key, _)| key == "command").map(|(_, value)| value.into_owned()).collect();
            prop_assert_eq!(arrived, command);
        }

        #[test]
        fn nobody_chooses_another_container(query in ".*") {
            for stream in [Stream::Logs { container: C }, Stream::Exec { container: C }, Stream::Attach { container: C }] {
                if let Ok(translated) = translate(&stream, &query) {
                    let containers: Vec<_> = parse(translated.as_bytes()).filter(|(key, _)| key == "container").map(|(_, value)| value.into_owned()).collect();
                    prop_assert_eq!(containers, vec![C]);
                }
            }
        }
    }
}
