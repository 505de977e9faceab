//! Images without a registry: one layer around static programs, as an OCI archive.

use std::{
    env,
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

/// The user of our images, as in production.
const USER: &str = "65532:65532";

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Commands that an image with busybox has.
const COMMANDS: &str = "cat chmod cp date dd echo env false find grep head hostname id kill ln ls md5sum mkdir mv printf ps \
                        pwd rm sed seq sh sha256sum sleep stty tail tar tee test touch tr true tty uname wc yes";

/// An image to be written.
///
/// ```no_run
/// # async fn f(folder: &std::path::Path) -> anyhow::Result<()> {
/// use testbed::real::{self, Image};
/// let program = real::program("hello-world").await?;
/// let archive = Image::of("testbed.local/hello-world:1", "/hello-world", program).write(folder)?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Image {
    name: String,
    files: Vec<(String, PathBuf)>,
    links: Vec<(String, String)>,
    entrypoint: Vec<String>,
    user: String,
}

impl Image {
    /// The image `name` (with a registry's host and a tag) of one program, which starts with it, as nobody's user.
    pub fn of(name: &str, path: &str, program: impl Into<PathBuf>) -> Self {
        Self {
            name: name.to_owned(),
            files: vec![(path.to_owned(), program.into())],
            links: Vec::new(),
            entrypoint: vec![path.to_owned()],
            user: USER.to_owned(),
        }
    }

    /// Adds this machine's `file` as `path`.
    pub fn file(mut self, path: &str, file: impl Into<PathBuf>) -> Self {
        self.files.push((path.to_owned(), file.into()));
        self
    }

    /// Adds a symbolic link.
    pub fn link(mut self, path: &str, target: &str) -> Self {
        self.links.push((path.to_owned(), target.to_owned()));
        self
    }

    /// Adds `/bin/busybox` with the usual names, for commands in the container. Debian's package is busybox-static.
    pub fn busybox(mut self) -> Self {
        self = self.file("/bin/busybox", super::missing::BUSYBOX);
        for name in COMMANDS.split_whitespace() {
            self = self.link(&format!("/bin/{name}"), "busybox");
        }
        self
    }

    /// Another user: `0` is root.
    pub fn user(mut self, user: &str) -> Self {
        user.clone_into(&mut self.user);
        self
    }

    /// Another command to start with.
    pub fn entrypoint(mut self, words: &[&str]) -> Self {
        self.entrypoint = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Writes the archive into the folder and returns its path.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        fs::create_dir_all(folder)?;
        let file = self.name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let path = folder.join(format!("{file}.tar"));
        let partial = path.with_extension("partial");
        self.archive(&partial)
            .with_context(|| format!("the image {}", self.name))?;
        fs::rename(&partial, &path)?;
        Ok(path)
    }

    /// The OCI image layout (`image-layout.md` of its specification), as a tar archive.
    fn archive(&self, path: &Path) -> Result<()> {
        let layer = Blob::new("application/vnd.oci.image.layer.v1.tar", self.layer()?);
        let platform = json!({ "os": "linux", "architecture": architecture() });
        let mut config = platform.clone();
        config["config"] = json!({
            "User": self.user,
            "Entrypoint": self.entrypoint,
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "WorkingDir": "/",
        });
        config["rootfs"] = json!({ "type": "layers", "diff_ids": [layer.digest] });
        let config = Blob::new("application/vnd.oci.image.config.v1+json", serde_json::to_vec(&config)?);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor(),
            "layers": [layer.descriptor()],
        });
        let manifest = Blob::new(MANIFEST, serde_json::to_vec(&manifest)?);
        let mut entry = manifest.descriptor();
        entry["platform"] = platform;
        // What `ctr images import` names the image by.
        entry["annotations"] = json!({ "io.containerd.image.name": self.name });
        let index = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [entry],
        }))?;
        let mut archive = Builder::new(File::create(path)?);
        append(&mut archive, "oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        append(&mut archive, "index.json", 0o644, &index)?;
        for blob in [layer, config, manifest] {
            let name = blob.digest.replace(':', "/");
            append(&mut archive, &format!("blobs/{name}"), 0o644, &blob.content)?;
        }
        archive.into_inner()?;
        Ok(())
    }

    fn layer(&self) -> Result<Vec<u8>> {
        let mut layer = Builder::new(Vec::new());
        let mut folder = header(EntryType::Directory, 0o1777, 0);
        layer.append_data(&mut folder, "tmp/", &[][..])?;
        for (path, file) in &self.files {
            let content = fs::read(file).with_context(|| file.display().to_string())?;
            let executable = file.metadata()?.permissions().mode() & 0o111 != 0;
            append(
                &mut layer,
                relative(path),
                if executable { 0o755 } else { 0o644 },
                &content,
            )?;
        }
        for (path, target) in &self.links {
            let mut header = header(EntryType::Symlink, 0o777, 0);
            layer.append_link(&mut header, relative(path), target)?;
        }
        Ok(layer.into_inner()?)
    }
}

fn relative(path: &str) -> &str {
    path.trim_start_matches('/')
}

/// Root's, of no time: the same files make the same image.
fn header(kind: EntryType, mode: u32, size: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size as u64);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn append(archive: &mut Builder<impl std::io::Write>, path: &str, mode: u32, content: &[u8]) -> Result<()> {
    let mut header = header(EntryType::Regular, mode, content.len());
    Ok(archive.append_data(&mut header, path, content)?)
}

/// A part of an image, named after its digest.
struct Blob {
    kind: &'static str,
    digest: String,
    content: Vec<u8>,
}

impl Blob {
    fn new(kind: &'static str, content: Vec<u8>) -> Self {
        Self {
            kind,
            digest: digest(&content),
            content,
        }
    }

    fn descriptor(&self) -> Value {
        json!({ "mediaType": self.kind, "digest": self.digest, "size": self.content.len() })
    }
}

fn digest(blob: &[u8]) -> String {
    let hash: String = Sha256::digest(blob).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hash}")
}

/// This machine's, in Go's words, which images use.
fn architecture() -> &'static str {
    match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn content(archive: &Path) -> Vec<(String, Vec<u8>)> {
        let mut archive = tar::Archive::new(File::open(archive).unwrap());
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (entry.path().unwrap().display().to_string(), bytes)
        });
        entries.collect()
    }

    #[test]
    fn every_blob_is_named_after_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        fs::write(&program, "#!").unwrap();
        let image = Image::of("example.com/a:1", "/bin/a", &program).link("/bin/b", "a");
        let files = content(&image.write(folder.path()).unwrap());
        let blobs: Vec<_> = files.iter().filter(|(path, _)| path.starts_with("blobs/")).collect();
        assert_eq!(blobs.len(), 3);
        for (path, bytes) in blobs {
            assert_eq!(path, &format!("blobs/{}", digest(bytes).replace(':', "/")));
        }
        let index = &files.iter().find(|(path, _)| path == "index.json").unwrap().1;
        assert!(String::from_utf8_lossy(index).contains("example.com/a:1"));
    }

    #[test]
    fn the_same_files_make_the_same_image() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        fs::write(&program, "#!").unwrap();
        let image = Image::of("example.com/a:1", "/a", &program);
        let first = fs::read(image.write(folder.path()).unwrap()).unwrap();
        assert_eq!(first, fs::read(image.write(folder.path()).unwrap()).unwrap());
    }
}
