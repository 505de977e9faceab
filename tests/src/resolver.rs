//! Asks a DNS server as a user's resolver does: over UDP, following names to addresses.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE};
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// How long an answer may take before the question is sent again.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often a question is sent before the server counts as silent.
const ATTEMPTS: usize = 3;
/// How many names may follow one another.
const LONGEST_CHAIN: usize = 8;
/// Larger answers would come truncated: nothing here is.
const LARGEST: usize = 4096;

/// What an answer says about a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Data {
    /// An address: A or AAAA.
    Address(IpAddr),
    /// Another name: CNAME.
    Name(String),
}

/// A record of an answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// Whose record it is.
    pub owner: String,
    /// What it says.
    pub data: Data,
    /// For how many seconds it may be kept.
    pub ttl: u32,
}

/// Asks one server. Keeps nothing: a record that is gone is not answered for the rest of its TTL.
#[derive(Clone, Debug)]
pub struct Resolver {
    server: SocketAddr,
}

impl Resolver {
    /// Asks this server.
    pub fn new(server: SocketAddr) -> Self {
        Self { server }
    }

    /// The server.
    pub fn server(&self) -> SocketAddr {
        self.server
    }

    /// All addresses that a name leads to now, of both families. None if the name does not exist.
    pub async fn addresses(&self, name: &str) -> Result<BTreeSet<IpAddr>> {
        let mut addresses = BTreeSet::new();
        for family in [TYPE::A, TYPE::AAAA] {
            addresses.extend(self.follow(name, family).await?);
        }
        Ok(addresses)
    }

    /// Follows all names of all answers, as a resolver that wants to know everything.
    async fn follow(&self, name: &str, family: TYPE) -> Result<BTreeSet<IpAddr>> {
        let (mut addresses, mut open, mut seen) = (BTreeSet::new(), vec![name.to_owned()], BTreeSet::new());
        while let Some(name) = open.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            ensure!(
                seen.len() <= LONGEST_CHAIN,
                "{name} leads through too many names: {seen:?}"
            );
            for record in self.ask(&name, family).await? {
                match record.data {
                    Data::Address(address) => drop(addresses.insert(address)),
                    Data::Name(name) => open.push(name),
                }
            }
        }
        Ok(addresses)
    }

    /// The records of one answer, in order. None if the name does not exist.
    pub async fn ask(&self, name: &str, kind: TYPE) -> Result<Vec<Record>> {
        let question = Question::new(Name::new(name)?, kind.into(), CLASS::IN.into(), false);
        let mut query = Packet::new_query(fastrand::u16(..));
        query.set_flags(PacketFlag::RECURSION_DESIRED);
        query.questions.push(question);
        let packet = query.build_bytes_vec()?;
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        socket.connect(self.server).await?;
        for _ in 0..ATTEMPTS {
            socket.send(&packet).await?;
            match timeout(PATIENCE, receive(&socket, query.id())).await {
                Ok(answer) => return answer.with_context(|| format!("{kind:?} of {name}")),
                Err(_) => continue,
            }
        }
        bail!("{} does not answer for {name}", self.server)
    }
}

async fn receive(socket: &UdpSocket, id: u16) -> Result<Vec<Record>> {
    let mut buffer = vec![0; LARGEST];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let answer = Packet::parse(&buffer[..length])?;
        if answer.id() == id {
            return read(&answer);
        }
    }
}

fn read(answer: &Packet<'_>) -> Result<Vec<Record>> {
    match answer.rcode() {
        RCODE::NoError => {}
        RCODE::NameError => return Ok(Vec::new()),
        code => bail!("the server says {code:?}"),
    }
    ensure!(!answer.has_flags(PacketFlag::TRUNCATION), "the answer is truncated");
    let records = answer.answers.iter().filter_map(|record| {
        let data = match &record.rdata {
            RData::A(a) => Data::Address(Ipv4Addr::from(a.address).into()),
            RData::AAAA(aaaa) => Data::Address(Ipv6Addr::from(aaaa.address).into()),
            RData::CNAME(name) => Data::Name(name.0.to_string()),
            _ => return None,
        };
        Some(Record {
            owner: record.name.to_string(),
            data,
            ttl: record.ttl,
        })
    });
    Ok(records.collect())
}
