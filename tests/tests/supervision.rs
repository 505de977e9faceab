//! Everything that a testbed started ends with it, however it ends.
#![allow(clippy::unwrap_used)]

use std::{env, fs, path::Path, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use testbed::{Cluster, ClusterOptions, Component, Process, Testbed, eventually};

const PID_FILE: &str = "TESTBED_TEST_PID_FILE";

#[tokio::test]
async fn children_end_when_their_parent_is_killed() {
    let testbed = Testbed::new("supervision").await.unwrap();
    let pid_file = testbed.dir().join("pids");
    let env = [(PID_FILE, pid_file.clone()), ("TMPDIR", testbed.dir().to_owned())];
    let env = env.map(|(key, path)| (key.to_owned(), path.display().to_string()));
    let this = env::current_exe().unwrap();
    let parent = testbed
        .spawn("parent", &this, ["--ignored", "--exact", "the_parent"], env)
        .unwrap();
    let pids = eventually(
        "the parent to start its children",
        Duration::from_secs(60),
        async || {
            Ok(fs::read_to_string(&pid_file)
                .ok()
                .map(|pids| pids.lines().map(|pid| pid.parse().unwrap()).collect::<Vec<i32>>()))
        },
    )
    .await
    .unwrap();
    assert!(pids.iter().all(|pid| runs(*pid)), "{pids:?}");

    parent.kill().await.unwrap();

    // 5 seconds for the stubborn one.
    let gone = async || Ok((!pids.iter().any(|pid| runs(*pid))).then_some(()));
    eventually("the children to end", Duration::from_secs(15), gone)
        .await
        .unwrap();
}

#[tokio::test]
#[ignore = "a helper of the test above, which runs it in a process of its own"]
async fn the_parent() {
    let Some(pid_file) = env::var_os(PID_FILE) else { return };
    let testbed = Testbed::new("parent").await.unwrap();
    let stubborn = shell(&testbed, "stubborn", "trap '' TERM; while :; do sleep 0.1; done");
    let paused = shell(&testbed, "paused", "sleep 1000");
    paused.pause().unwrap();
    let cluster = Cluster::start(&testbed, ClusterOptions::new("parent", []))
        .await
        .unwrap();
    let components = [
        Component::Etcd,
        Component::ApiServer,
        Component::ControllerManager,
        Component::Scheduler,
    ];
    let mut pids = vec![stubborn.pid(), paused.pid()];
    pids.extend(components.map(|component| cluster.component(component).unwrap().pid()));
    let lines: Vec<String> = pids.iter().map(u32::to_string).collect();
    let partial = Path::new(&pid_file).with_extension("partial");
    fs::write(&partial, lines.join("\n")).unwrap();
    fs::rename(partial, pid_file).unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn signals_reach_the_program() {
    let testbed = Testbed::new("signals").await.unwrap();
    let process = shell(
        &testbed,
        "counter",
        "trap 'echo polite; exit 7' TERM; echo started; while :; do sleep 0.05; done",
    );
    let started = async || Ok(fs::read_to_string(process.log())?.contains("started").then_some(()));
    eventually("the program to start", Duration::from_secs(5), started)
        .await
        .unwrap();

    process.pause().unwrap();
    let stopped = async || Ok((state(&process) == Some('T')).then_some(()));
    eventually("the program to hang", Duration::from_secs(5), stopped)
        .await
        .unwrap();
    process.resume().unwrap();
    assert!(process.is_running());
    assert_eq!(process.stop().await.unwrap().code(), Some(7));
    assert!(fs::read_to_string(process.log()).unwrap().contains("polite"));
    assert!(format!("{:#}", process.check().unwrap_err()).contains("polite"));

    let ended = process.pid();
    process.start().unwrap();
    assert_ne!(process.pid(), ended);
    assert!(!process.kill().await.unwrap().success());

    process.start().unwrap();
    let last = process.pid() as i32;
    drop(process);
    assert!(!runs(last));
}

fn shell(testbed: &Testbed, name: &str, script: &str) -> Process {
    testbed.spawn(name, Path::new("/bin/sh"), ["-c", script], []).unwrap()
}

fn runs(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None::<Signal>).is_ok()
}

/// The state in the process table: `T` is stopped by a signal.
fn state(process: &Process) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.pid())).unwrap();
    stat.rsplit(") ").next().and_then(|rest| rest.chars().next())
}
