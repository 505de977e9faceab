//! Plays Route 53, which cannot run here: its API for external-dns's AWS provider, and its name servers for CoreDNS.
//!
//! Of the API there are the three calls that external-dns makes, and the rules about sets of records for one name that
//! Route 53 documents ("Choosing a routing policy"; `ChangeResourceRecordSets`). Of the name servers there are weighted and
//! latency records: of the records of a name, those of the asker's region if they have regions, and of these one, at random
//! by weight; a record of weight 0 only when all others are.

mod api;
mod rules;
mod server;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Result;
use parking_lot::Mutex;
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

pub use api::RecordSet;
use rules::Records;

/// The provider. Dropped, it answers no more.
pub struct Route53 {
    state: Arc<Mutex<State>>,
    api: SocketAddr,
    dns: SocketAddr,
    _tasks: JoinSet<()>,
}

/// What API and name servers share.
#[derive(Default)]
struct State {
    records: Records,
    region: Option<String>,
    refused: Vec<String>,
}

impl Route53 {
    pub(super) async fn start() -> Result<Self> {
        let state = Arc::<Mutex<State>>::default();
        let (listener, socket) = (
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?,
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?,
        );
        let (api, dns) = (listener.local_addr()?, socket.local_addr()?);
        let mut tasks = JoinSet::new();
        tasks.spawn(api::serve(listener, state.clone()));
        tasks.spawn(server::serve(socket, state.clone()));
        Ok(Self {
            state,
            api,
            dns,
            _tasks: tasks,
        })
    }

    /// What makes AWS's library call this instead: the variables that it documents.
    pub(super) fn env(&self) -> Vec<(String, String)> {
        let variables = [
            ("AWS_ENDPOINT_URL_ROUTE_53", format!("http://{}", self.api)),
            ("AWS_ACCESS_KEY_ID", "testbed".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "testbed".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            // Nothing of the user's own account.
            ("AWS_CONFIG_FILE", "/dev/null".to_owned()),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".to_owned()),
        ];
        variables.map(|(name, value)| (name.to_owned(), value)).into()
    }

    pub(super) fn name_server(&self) -> SocketAddr {
        self.dns
    }

    /// The records of a name, in order of their types and set identifiers.
    pub fn records(&self, name: &str) -> Vec<RecordSet> {
        self.state.lock().records.of(name).cloned().collect()
    }

    /// Changes that were refused, and why.
    pub fn refused(&self) -> Vec<String> {
        self.state.lock().refused.clone()
    }

    /// Answers as somebody in this region sees it.
    pub fn ask_from(&self, region: Option<&str>) {
        self.state.lock().region = region.map(str::to_owned);
    }
}
