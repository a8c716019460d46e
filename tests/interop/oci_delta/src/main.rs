//! `rebuild-oci-delta REPOSITORY ARTIFACT ROOT OUT`: what a client of oci-delta artifacts makes of a published one.
//!
//! REPOSITORY is the folder `v2/<name>` of a published tree, ARTIFACT the digest of the artifact's manifest, ROOT the
//! unpacked old image, OUT an empty folder. Writes `manifest`, `config`, and each rebuilt layer under its DiffID (with
//! `-` for `:`); prints those, one a line. Everything but the reading of files is the crate's.

use std::env;
use std::fs::{self, File};
use std::future::Future;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};
use std::pin::pin;
use std::task::{Context as Task, Poll, Waker};

use anyhow::{Context, Result, bail, ensure};
use oci_delta::{
    BlobStream, BlobStreamFuture, DeltaBlobReader, DeltaDataSource, is_delta_artifact, parse_delta_manifest,
    reconstruct_layer_to,
};
use oci_spec::image::{Descriptor, Digest, ImageConfiguration, ImageManifest};
use openssl::sha::sha256;

/// A published repository. Of blobs, the size is compared with what the descriptor says.
struct Repository(PathBuf);

impl Repository {
    fn blob(&self, descriptor: &Descriptor) -> Result<File> {
        let path = self.0.join("blobs").join(descriptor.digest().to_string());
        let file = File::open(&path).with_context(|| path.display().to_string())?;
        let size = file.metadata()?.len();
        ensure!(size == descriptor.size(), "{} has {size} bytes", path.display());
        Ok(file)
    }

    fn verified(&self, folder: &str, digest: &str) -> Result<Vec<u8>> {
        let path = self.0.join(folder).join(digest);
        let data = fs::read(&path).with_context(|| path.display().to_string())?;
        ensure!(format!("sha256:{}", hex::encode(sha256(&data))) == digest, "{} is damaged", path.display());
        Ok(data)
    }
}

impl DeltaBlobReader for Repository {
    fn open_blob(&self, descriptor: &Descriptor) -> BlobStreamFuture<'_> {
        let opened = self.blob(descriptor).map(|file| Box::new(file) as Box<dyn BlobStream>);
        Box::pin(async move { opened })
    }
}

/// The files of the old image, as strictly as an ostree or an EROFS looks them up: no symlink is followed, no path
/// normalised, nothing but regular files is read.
struct Root {
    path: PathBuf,
    current: Option<File>,
}

impl Root {
    fn file(&mut self) -> Result<&mut File> {
        self.current.as_mut().context("no source file is open")
    }
}

impl DeltaDataSource for Root {
    fn set_current_file(&mut self, path: &str) -> Result<()> {
        let mut place = self.path.clone();
        let parts = path.split('/').collect::<Vec<_>>();
        for (position, part) in parts.iter().enumerate() {
            let is_name = matches!(Path::new(part).components().next(), Some(Component::Normal(_)));
            ensure!(is_name, "{path:?} is not normalised");
            place.push(part);
            let found = fs::symlink_metadata(&place).with_context(|| format!("source {path:?}"))?;
            let is_last = position + 1 == parts.len();
            ensure!(if is_last { found.is_file() } else { found.is_dir() }, "source {path:?} is no regular file");
        }
        self.current = Some(File::open(place)?);
        Ok(())
    }

    fn read_exact_current(&mut self, buffer: &mut [u8]) -> Result<()> {
        Ok(self.file()?.read_exact(buffer)?)
    }

    fn seek_current(&mut self, offset: u64) -> Result<u64> {
        Ok(self.file()?.seek(SeekFrom::Start(offset))?)
    }

    fn read_current_to_end(&mut self, _: u64) -> Result<Vec<u8>> {
        bail!("an operation of tar-diff 2, which not every client knows")
    }

    fn copy_to(&mut self, out: &mut dyn Write, count: u64) -> Result<()> {
        let copied = io::copy(&mut self.file()?.take(count), out)?;
        ensure!(copied == count, "a source ends after {copied} of {count} bytes");
        Ok(())
    }
}

fn main() -> Result<()> {
    let arguments = env::args().skip(1).collect::<Vec<_>>();
    let [repository, artifact, root, out] = arguments.as_slice() else {
        bail!("usage: rebuild-oci-delta REPOSITORY ARTIFACT ROOT OUT");
    };
    let (repository, out) = (Repository(repository.into()), Path::new(out));
    let manifest = ImageManifest::from_reader(&repository.verified("manifests", artifact)?[..])?;
    ensure!(is_delta_artifact(&manifest), "{artifact} is not recognised");
    let delta = at_once(parse_delta_manifest(&manifest, &repository))?;
    let source = repository.verified("blobs", &delta.source_config_digest.to_string())?;
    let there = ImageConfiguration::from_reader(&source[..])?.rootfs().diff_ids().clone();
    fs::write(out.join("manifest"), &delta.target_manifest_raw)?;
    fs::write(out.join("config"), &delta.target_config_raw)?;
    let mut files = Root { path: root.into(), current: None };
    for (layer, diff_id) in delta.target_manifest.layers().iter().zip(delta.target_config.rootfs().diff_ids()) {
        let Some(part) = delta.delta_layer_by_to.get(layer.digest()) else {
            ensure!(there.contains(diff_id), "neither the artifact nor the old image has {diff_id}");
            continue;
        };
        let expected: Digest = diff_id.parse()?;
        let mut made = File::create(out.join(diff_id.replace(':', "-")))?;
        reconstruct_layer_to(repository.blob(part)?, part.media_type(), &mut files, &expected, &mut made)
            .with_context(|| format!("layer {}", layer.digest()))?;
        println!("{diff_id}");
    }
    Ok(())
}

/// Files are read without waiting, so every future is ready when it is asked first.
fn at_once<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    match pin!(future).poll(&mut Task::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => bail!("a file was not ready"),
    }
}
