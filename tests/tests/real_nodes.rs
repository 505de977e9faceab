//! Clusters of real nodes run real containers, and leave nothing behind.
#![allow(clippy::unwrap_used)]

use anyhow::Result;
use testbed::real::{self, Cluster, Image, Options, Site};

#[tokio::test]
async fn one_cluster() -> Result<()> {
    if let Some(reason) = real::missing() {
        println!("skipped: {reason}");
        return Ok(());
    }
    let start = std::time::Instant::now();
    let site = Site::new("real-nodes").await?;
    println!("site after {:?}", start.elapsed());
    let images = site.testbed().dir().join("images");
    let hello = Image::of(
        "testbed.local/hello-world:1",
        "/hello-world",
        real::program("hello-world").await?,
    );
    let options = Options::new("a").image(hello.write(&images)?);
    let a = Cluster::start(&site, options).await?;
    println!("cluster after {:?}", start.elapsed());
    a.kubectl(&[
        "run",
        "hello",
        "--image=testbed.local/hello-world:1",
        "--port=8080",
        "--expose",
    ])
    .await?;
    a.kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "pod/hello"])
        .await?;
    println!("pod after {:?}", start.elapsed());
    println!("{}", a.kubectl(&["logs", "hello"]).await?);
    println!(
        "{}",
        a.kubectl(&["get", "pods,services,nodes", "-A", "-o", "wide"]).await?
    );
    Ok(())
}
