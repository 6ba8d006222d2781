//! One file, through breaks: what came stays, and the next attempt asks for the
//! rest, of the same version only. A whole file is taken once its digest, over
//! all that lies here, is what the listing says.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use crate::address::Address;
use crate::client::{Answer, Ask, Client, Sender};
use crate::digest::{Digest, Sums};
use crate::error::Error;
use crate::foreign::Foreign;
use crate::progress::{Progress, Teller};
use crate::staging::Staging;

/// One file that is to come.
pub(crate) struct Wanted {
    /// Its name here.
    pub(crate) name: String,
    pub(crate) address: Address,
    pub(crate) sender: Sender,
    /// Where more about it is to be read.
    pub(crate) page: Foreign,
    /// Whose file it is: parts of one version are never joined to another.
    pub(crate) version: String,
    pub(crate) bytes: Option<u64>,
    pub(crate) digest: Option<Digest>,
}

/// One that came, and lies in the staging folder.
pub(crate) struct Got {
    pub(crate) sums: Sums,
    pub(crate) etag: Option<String>,
}

/// What is known of a part, beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartOf {
    version: String,
    /// What `If-Range` is to say: a strong name of the version, or its time.
    validator: Option<String>,
    etag: Option<String>,
    total: Option<u64>,
}

/// Fetches into the staging folder; `most` bytes may come, `known` is the name
/// of the version that the caller has.
pub(crate) struct Transfer<'a, 'b> {
    pub(crate) client: &'a Client,
    pub(crate) staging: &'a Staging,
    pub(crate) teller: &'a mut Teller<'b>,
    pub(crate) wanted: &'a Wanted,
    pub(crate) most: u64,
    pub(crate) known: Option<&'a str>,
}

/// What one attempt came to.
enum Step {
    Whole,
    /// What is here is no beginning of what is there.
    Again,
    Unchanged,
}

impl Transfer<'_, '_> {
    /// Nothing if it is still the version that the caller knows.
    pub(crate) fn run(mut self) -> Result<Option<Got>, Error> {
        if let Some(got) = self.staged()? {
            self.teller.whole(&self.wanted.name, got.sums.bytes);
            return Ok(Some(got));
        }
        let patience = *self.client.patience();
        let mut tried = 1;
        loop {
            let last = tried >= patience.tries;
            match self.attempt() {
                Ok(Step::Whole) => return self.accept().map(Some),
                Ok(Step::Unchanged) => return Ok(None),
                Ok(Step::Again) if last => return Err(self.broken(0, "it cannot be continued")),
                Ok(Step::Again) => {}
                Err(error) if !error.passes() || last => return Err(error),
                Err(_) => patience.pause_after(tried),
            }
            tried += 1;
        }
    }

    /// From an earlier pull that had not all of its files yet.
    fn staged(&self) -> Result<Option<Got>, Error> {
        let (Some(digest), true) = (
            &self.wanted.digest,
            self.staging.whole(&self.wanted.name).is_file(),
        ) else {
            return Ok(None);
        };
        let path = self.staging.whole(&self.wanted.name);
        let sums = Sums::of(&path).map_err(Error::io(&path))?;
        Ok(sums.are(digest).then(|| Got {
            etag: self.part_of().etag,
            sums,
        }))
    }

    fn attempt(&mut self) -> Result<Step, Error> {
        let part = self.part();
        let of = self.part_of();
        let mut here = part.metadata().map_or(0, |meta| meta.len());
        let whole = self.wanted.bytes.or(of.total);
        // Without any of these nobody could tell a beginning of another version.
        let can_go_on = self.wanted.digest.is_some() || of.validator.is_some();
        if of.version != self.wanted.version
            || !can_go_on
            || whole.is_some_and(|whole| here > whole)
        {
            here = 0;
        }
        if here > 0 && whole == Some(here) {
            return Ok(Step::Whole);
        }
        let what = Foreign::new(&self.wanted.name);
        let wanted = self.wanted;
        let mut ask = Ask::new(&wanted.address, wanted.sender, &what).on_page(&wanted.page);
        if here > 0 {
            ask = ask.with("range", format!("bytes={here}-"));
            if let Some(validator) = &of.validator {
                ask = ask.with("if-range", validator);
            }
        } else if let Some(known) = self.known {
            ask = ask.with("if-none-match", known);
        }
        let answer = self.client.get(&ask)?;
        match answer.status {
            206 if goes_on(&answer, here, &of, whole) => {
                // A server may give less than the rest, and be asked again.
                let (_, total) = answer.header("content-range").and_then(range).unzip();
                self.take(answer, here, total.flatten().or(whole))
            }
            200 => {
                let total = answer.length();
                self.take(answer, 0, total)
            }
            304 => Ok(Step::Unchanged),
            _ => {
                self.staging.drop_part(&self.wanted.name)?;
                Ok(Step::Again)
            }
        }
    }

    /// Writes what comes behind what is here.
    fn take(&mut self, answer: Answer, here: u64, total: Option<u64>) -> Result<Step, Error> {
        self.bound(total)?;
        let path = self.part();
        if here == 0 {
            self.staging.drop_part(&self.wanted.name)?;
            let of = PartOf {
                version: self.wanted.version.clone(),
                validator: validator(&answer),
                etag: answer.etag().map(str::to_owned),
                total,
            };
            self.staging.note_part(&self.wanted.name, &of)?;
        }
        let options = OpenOptions::new().append(true).create(true).to_owned();
        let mut file = options.open(&path).map_err(Error::io(&path))?;
        let outcome = self.copy(answer, &mut file, here, total.or(self.wanted.bytes));
        // Of what broke off as well: the next attempt goes on behind it.
        file.sync_data().map_err(Error::io(&path))?;
        outcome?;
        Ok(Step::Whole)
    }

    fn copy(
        &mut self,
        answer: Answer,
        file: &mut File,
        here: u64,
        total: Option<u64>,
    ) -> Result<(), Error> {
        let mut done = here;
        let mut body = answer.into_body();
        let mut piece = vec![0; 128 << 10];
        loop {
            self.teller.on_the_way(Progress {
                file: &self.wanted.name,
                done,
                total,
            });
            let read = match body.read(&mut piece) {
                Ok(read) => read,
                Err(error) => return Err(self.broken(done, &error.to_string())),
            };
            if read == 0 {
                break;
            }
            done += read as u64;
            // Before it lies on the disk.
            self.bound_so_far(done)?;
            file.write_all(&piece[..read])
                .map_err(Error::io(self.part()))?;
        }
        match total {
            Some(total) if done < total => Err(self.broken(done, "the connection was closed")),
            _ => Ok(()),
        }
    }

    /// Against the listing and the limit, before anything is read.
    fn bound(&self, total: Option<u64>) -> Result<(), Error> {
        let Some(total) = total else { return Ok(()) };
        match self.wanted.bytes {
            Some(listed) if total != listed => {
                self.staging.drop_part(&self.wanted.name)?;
                Err(self.length(total, listed))
            }
            _ if total > self.most => Err(self.too_large(total, false)),
            _ => Ok(()),
        }
    }

    fn bound_so_far(&self, done: u64) -> Result<(), Error> {
        let error = match self.wanted.bytes {
            Some(listed) if done > listed => self.length(done, listed),
            _ if done > self.most => self.too_large(done, true),
            _ => return Ok(()),
        };
        self.staging.drop_part(&self.wanted.name)?;
        Err(error)
    }

    /// What is whole is checked, all of it, and comes to the others.
    fn accept(&mut self) -> Result<Got, Error> {
        let path = self.part();
        let sums = Sums::of(&path).map_err(Error::io(&path))?;
        if let Some(error) = self.flaw(&path, &sums)? {
            self.staging.drop_part(&self.wanted.name)?;
            return Err(error);
        }
        self.teller.whole(&self.wanted.name, sums.bytes);
        let etag = self.part_of().etag;
        self.staging.keep_part(&self.wanted.name)?;
        Ok(Got { sums, etag })
    }

    fn flaw(&self, path: &Path, sums: &Sums) -> Result<Option<Error>, Error> {
        let file = || Foreign::new(&self.wanted.name);
        let mut start = Vec::new();
        let opened = File::open(path).map_err(Error::io(path))?;
        let read = opened.take(START_MAX).read_to_end(&mut start);
        read.map_err(Error::io(path))?;
        if start.starts_with(POINTER) {
            return Ok(Some(Error::Pointer { file: file() }));
        }
        let flaw = match (&self.wanted.bytes, &self.wanted.digest) {
            (Some(listed), _) if *listed != sums.bytes => Some(self.length(sums.bytes, *listed)),
            (_, Some(digest)) if !sums.are(digest) => Some(Error::Digest {
                file: file(),
                found: match digest {
                    Digest::Sha256(_) => sums.sha256.to_string(),
                    Digest::Blob(_) => sums.blob.to_string(),
                },
                listed: digest.as_str().to_owned(),
            }),
            (_, None) if is_page(&start) => Some(Error::WebPage {
                what: Foreign::from(&self.wanted.address),
            }),
            _ => None,
        };
        Ok(flaw)
    }

    fn part(&self) -> std::path::PathBuf {
        self.staging.part(&self.wanted.name)
    }

    /// Of nothing if nothing can be read: then the part begins anew.
    fn part_of(&self) -> PartOf {
        let note = self.staging.noted(&self.wanted.name);
        note.unwrap_or_default()
    }

    fn length(&self, bytes: u64, listed: u64) -> Error {
        Error::Length {
            file: Foreign::new(&self.wanted.name),
            bytes,
            listed,
        }
    }

    fn too_large(&self, bytes: u64, at_least: bool) -> Error {
        Error::TooLarge {
            what: Foreign::new(&self.wanted.name),
            bytes,
            at_least,
            limit: self.most,
        }
    }

    fn broken(&self, done: u64, cause: &str) -> Error {
        Error::Broken {
            file: Foreign::new(&self.wanted.name),
            done,
            cause: Foreign::new(cause),
        }
    }
}

/// Bytes that tell what a file is not.
const START_MAX: u64 = 512;
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

fn is_page(start: &[u8]) -> bool {
    let mut seen = start.iter().filter(|byte| !byte.is_ascii_whitespace());
    seen.next() == Some(&b'<')
}

/// What `If-Range` may say: only a strong name tells byte from byte.
fn validator(answer: &Answer) -> Option<String> {
    let etag = answer.header("etag").filter(|etag| etag.starts_with('"'));
    let validator = etag.or_else(|| answer.header("last-modified"));
    validator.map(str::to_owned)
}

/// Whether these are the bytes behind those that are here, of one version.
fn goes_on(answer: &Answer, here: u64, of: &PartOf, whole: Option<u64>) -> bool {
    let Some((first, total)) = answer.header("content-range").and_then(range) else {
        return false;
    };
    let etag = answer.header("etag").filter(|etag| etag.starts_with('"'));
    let other = |known: &String| known.starts_with('"') && etag.is_some_and(|etag| etag != known);
    here > 0
        && first == here
        && total.is_none_or(|total| whole.is_none_or(|whole| whole == total))
        && !of.validator.as_ref().is_some_and(other)
}

/// Of `bytes 5-9/10`: where it begins, and of how many it is.
fn range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    let total = match total {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    Some((first.parse().ok()?, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_says_where_it_begins() {
        let cases = [
            ("bytes 5-9/10", Some((5, Some(10)))),
            ("bytes 5-9/*", Some((5, None))),
            ("bytes */10", None),
            ("bytes -5/10", None),
            ("items 5-9/10", None),
            ("bytes 5-9/ten", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(range(text), expected, "{text}");
        }
    }

    #[test]
    fn a_page_begins_as_pages_do() {
        assert!(is_page(b"\n <!DOCTYPE html>"));
        assert!(!is_page(b"\x08\x07<"));
        assert!(!is_page(b""));
    }
}
