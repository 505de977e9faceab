//! A small HTTP server, the tutorial's application.
//!
//! - `GET /` answers `Hello, $WORLD!`.
//! - `GET /burn?ms=N` keeps a core busy for N milliseconds first (at most a minute).
//! - Anything else is not found.
//!
//! It listens on `$PORT` (8080), prints a line for each request, and ends at once when asked to.
//!
//! `hello-world get http://NAME:PORT/PATH` asks another one and prints its answer: an image of one file has no curl.

use std::{
    env,
    hint::black_box,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv6Addr, TcpListener, TcpStream},
    process, thread,
    time::{Duration, Instant},
};

/// Longest time of one `/burn`.
const LONGEST: Duration = Duration::from_secs(60);
/// Longest wait for a client that says nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest line of a request; a longer one is cut, and then is no request.
const LINE: u64 = 8192;

fn main() {
    match env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => listen_and_serve(),
        [get, url] if get == "get" => match fetch(url) {
            Ok(body) => print!("{body}"),
            Err(error) => fail(&format!("{url}: {error}")),
        },
        _ => fail("usage: hello-world [get http://NAME:PORT/PATH]"),
    }
}

/// The body of an answer, or the error that it is.
fn fetch(url: &str) -> io::Result<String> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let rest = url
        .strip_prefix("http://")
        .ok_or_else(|| invalid("write http://NAME:PORT/PATH"))?;
    let (server, path) = rest.split_once('/').unwrap_or((rest, ""));
    let server = if server.contains(':') {
        server.to_owned()
    } else {
        format!("{server}:80")
    };
    let mut stream = TcpStream::connect(&server)?;
    stream.set_read_timeout(Some(LONGEST + PATIENCE))?;
    stream.write_all(format!("GET /{path} HTTP/1.0\r\nHost: {server}\r\n\r\n").as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| invalid("no HTTP"))?;
    let status = head.lines().next().unwrap_or_default();
    match status.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        _ => Err(invalid(status)),
    }
}

fn listen_and_serve() -> ! {
    let signals = containers::hold_signals();
    let port = env::var("PORT").ok().filter(|port| !port.is_empty());
    let port = port.as_deref().unwrap_or("8080");
    let listener = match port.parse().map(|port: u16| listen(port)) {
        Ok(Ok(listener)) => listener,
        Ok(Err(error)) => fail(&format!("cannot listen on port {port}: {error}")),
        Err(_) => fail(&format!("PORT={port} is not a port: write a number from 1 to 65535")),
    };
    let world = env::var("WORLD").unwrap_or_else(|_| "World".to_owned());
    println!("listening on port {port}");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let world = world.clone();
            // A client that went away is not worth a word.
            thread::spawn(move || drop(serve(&stream, &world)));
        }
    });
    containers::end_at(&signals)
}

fn fail(message: &str) -> ! {
    eprintln!("{message}");
    process::exit(1)
}

/// On all addresses, IPv4 too where the kernel knows IPv6.
fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).or_else(|_| TcpListener::bind(("0.0.0.0", port)))
}

/// Answers the requests of one connection.
fn serve(stream: &TcpStream, world: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = (BufReader::new(stream), stream);
    while let Some(request) = line(&mut reader)? {
        let mut close = request.ends_with("HTTP/1.0");
        while let Some(header) = line(&mut reader)?.filter(|header| !header.is_empty()) {
            close |= header.eq_ignore_ascii_case("connection: close");
        }
        let (status, body) = answer(&request, world);
        println!("{request} {status}");
        let connection = if close { "Connection: close\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n{connection}\r\n",
            body.len()
        );
        writer.write_all(format!("{head}{body}").as_bytes())?;
        if close {
            break;
        }
    }
    Ok(())
}

/// A line without its end, or nothing at the connection's end.
fn line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    reader.take(LINE).read_until(b'\n', &mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok((!bytes.is_empty()).then(|| text.trim_end().to_owned()))
}

/// The status and body for a request's first line.
fn answer(request: &str, world: &str) -> (&'static str, String) {
    let mut words = request.split(' ');
    let (Some("GET" | "HEAD"), Some(target)) = (words.next(), words.next()) else {
        return ("405 Method Not Allowed", String::new());
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    match path {
        "/" => ("200 OK", format!("Hello, {world}!\n")),
        "/burn" => match query.strip_prefix("ms=").map(str::parse) {
            Some(Ok(milliseconds)) => {
                burn(Duration::from_millis(milliseconds).min(LONGEST));
                ("200 OK", format!("{milliseconds} ms\n"))
            }
            _ => ("400 Bad Request", "write /burn?ms=NUMBER\n".to_owned()),
        },
        _ => ("404 Not Found", "there is / and /burn?ms=NUMBER\n".to_owned()),
    }
}

fn burn(time: Duration) {
    let start = Instant::now();
    let mut number = 1_u64;
    while start.elapsed() < time {
        for _ in 0..10_000 {
            number = black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let status = |request| answer(request, "Earth").0;
        assert_eq!(answer("GET / HTTP/1.1", "Earth").1, "Hello, Earth!\n");
        assert_eq!(status("GET /burn?ms=1 HTTP/1.1"), "200 OK");
        assert_eq!(status("GET /burn?ms=-1 HTTP/1.1"), "400 Bad Request");
        assert_eq!(status("GET /burn HTTP/1.1"), "400 Bad Request");
        assert_eq!(status("GET /other HTTP/1.1"), "404 Not Found");
        assert_eq!(status("DELETE / HTTP/1.1"), "405 Method Not Allowed");
        assert_eq!(status(""), "405 Method Not Allowed");
    }
}
