//! `testbed up` and `testbed down`: the clusters of the demo, in the background.

use std::env;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::clusters::{US, virtual_node};
use super::outside;
use super::screen::Screen;
use super::state::{SERVE, State};
use crate::product::Programs;
use crate::{Binaries, eventually};

/// How long three clusters may take, on a machine that is busy otherwise.
const READY: Duration = Duration::from_secs(300);
/// How long their end may take.
const END: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(250);

/// Start the clusters in the background and say how to use them.
pub async fn up() -> Result<()> {
    let state = State::new()?;
    let mut screen = Screen::new();
    if state.is_ready()? {
        screen.heading("The clusters run already.");
        return explain(&state, &mut screen);
    }
    // Here, because here people see what is built.
    Binaries::ensure().await?.with_dns().await?;
    Programs::build(&[]).await?;
    screen.step("Start three clusters in the background and connect them");
    let mut server = spawn(&state)?;
    let pid = Pid::from_raw(i32::try_from(server.id())?);
    let ready = tokio::select! {
        ready = wait_until_ready(&state, &mut server, &mut screen) => ready,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    if ready.is_err() && server.try_wait()?.is_none() {
        kill(pid, Signal::SIGTERM)?;
    }
    ready?;
    screen.done("ready; they run until: make down");
    explain(&state, &mut screen)
}

/// End the clusters and all their processes.
pub async fn down() -> Result<()> {
    let state = State::new()?;
    let mut screen = Screen::new();
    if !state.is_served()? {
        screen.heading("Nothing runs.");
        return Ok(());
    }
    let server = state.server()?;
    screen.step("End the clusters");
    kill(server, Signal::SIGTERM).with_context(|| format!("cannot end process {server}"))?;
    eventually(&format!("process {server} to end"), END, async || {
        screen.progress("ending");
        Ok((!state.is_served()?).then_some(()))
    })
    .await?;
    screen.done("all processes have ended");
    Ok(())
}

fn spawn(state: &State) -> Result<Child> {
    if !state.is_served()? {
        state.clear();
    }
    let log = File::create(state.log()).with_context(|| state.log().display().to_string())?;
    Command::new(env::current_exe()?)
        .arg(SERVE)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // Ctrl-C in this terminal is not meant for it, later on.
        .process_group(0)
        .spawn()
        .context("cannot start the testbed in the background")
}

async fn wait_until_ready(state: &State, server: &mut Child, screen: &mut Screen) -> Result<()> {
    let start = Instant::now();
    while !state.is_ready()? {
        // The other way round, another server could take over between.
        let ended = server.try_wait()?;
        if let Some(status) = ended.filter(|_| !state.is_served().unwrap_or_default()) {
            bail!("the testbed ended ({status}):\n{}", fs::read_to_string(state.log())?);
        }
        if start.elapsed() > READY {
            bail!("not ready after {READY:?}, see {}", state.log().display());
        }
        screen.progress("three times etcd, API server, controllers, scheduler; cert-manager; DNS");
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

fn explain(state: &State, screen: &mut Screen) -> Result<()> {
    let export = [
        format!("export KUBECONFIG={}", state.kubeconfig().display()),
        format!("export PATH=\"$PATH:{}\"", state.bin().display()),
    ];
    let needed = if crate::path::find("kubectl").is_some() {
        &export[..1]
    } else {
        &export[..]
    };
    screen.heading("Point kubectl at them (contexts management, us-west-2, eu-west-3):");
    screen.lines(needed.iter().map(String::as_str));
    screen.heading("Then try:");
    let drain = format!("kubectl drain {} --ignore-daemonsets", virtual_node(US));
    let server = fs::read_to_string(state.dns()).with_context(|| state.dns().display().to_string())?;
    let ask = outside::question(server.parse()?);
    let commands = [
        (
            "kubectl get nodes -L topology.kubernetes.io/region",
            "a virtual node per cluster",
        ),
        (
            "kubectl apply -f docs/quick-tour/",
            "three Deployments, a Service, an Ingress",
        ),
        ("kubectl get pods -o wide", "proxy pods, on virtual nodes"),
        (
            "kubectl --context us-west-2 get pods -o wide",
            "delegates, on real nodes",
        ),
        ("kubectl --context us-west-2 get podchaperons", "what owns them there"),
        ("kubectl get clustertargets", "the connections"),
        (
            "kubectl --context us-west-2 get services,ingresses",
            "they have followed",
        ),
        ("kubectl get ingress -o wide", "with the addresses of both clusters"),
        (ask.as_str(), "one name for both"),
        (drain.as_str(), "see the pods move"),
        ("kubectl delete -f docs/quick-tour/", "clean up"),
        ("make down", "end the clusters"),
    ];
    let width = commands
        .iter()
        .map(|(command, _)| command.len())
        .max()
        .unwrap_or_default();
    let lines = commands.map(|(command, why)| format!("{command:width$}  # {why}"));
    screen.lines(lines.iter().map(String::as_str));
    screen.heading("Credentials last for 24 hours: after that, make down and make up.");
    screen.lines([format!("Logs: {}", state.log().display()).as_str()]);
    Ok(())
}
