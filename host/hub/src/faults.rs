//! Why something is not what it should be: a source, an address, a name, a
//! record. In sentences, "it" is that; an [`Error`](crate::Error) names it.

use std::io;

/// Why something is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressFault {
    /// No server takes so long a one.
    #[error("is longer than 16,384 bytes")]
    Long,
    /// It could not be seen as what it is.
    #[error("has a control character")]
    Control,
    /// Nothing else is spoken here.
    #[error("begins neither with https:// nor with http://")]
    Scheme,
    /// Who would be asked.
    #[error("names no host")]
    Host,
    /// A password in an address is soon in a log as well.
    #[error("has a user name or a password before its host")]
    User,
    /// Anything else.
    #[error("is no address")]
    Form,
}

/// Why a name cannot be one of a file or folder here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// There is nothing.
    #[error("it is empty")]
    Empty,
    /// File systems have no room for it.
    #[error("it is longer than 200 bytes")]
    Long,
    /// It would be a path.
    #[error("it has a `/` or `\\`")]
    Separator,
    /// It would be hidden, or lead out of its folder.
    #[error("it begins with a dot")]
    Dot,
    /// It could not be seen as what it is.
    #[error("it has a control character")]
    Control,
}

/// Why a path cannot be one within a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// There is nothing.
    #[error("it is empty")]
    Empty,
    /// No repository has such a path.
    #[error("it is longer than 1,024 bytes")]
    Long,
    /// It has an empty part, `.` or `..`, or begins at the root.
    #[error("it leads elsewhere")]
    Elsewhere,
    /// It could be read as another path.
    #[error("it has a `\\`")]
    Backslash,
    /// It could not be seen as what it is.
    #[error("it has a control character")]
    Control,
}

/// Why a word is no source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceFault {
    /// It is nothing of what we fetch.
    #[error(
        "write hf:OWNER/REPO, hf:OWNER/REPO/FOLDER, the https:// address of an .aivm or .aivmx, or bert"
    )]
    Kind,
    /// It lacks an owner or a repository, or they have wrong letters.
    #[error(
        "a repository is named hf:OWNER/REPO, in letters, digits, `-`, `_` and `.`, as the hub's page of it says"
    )]
    Repository,
    /// It stands elsewhere than behind the repository.
    #[error("a revision stands behind the repository: hf:OWNER/REPO@REVISION/FOLDER")]
    RevisionPlace,
    /// Git knows none of this form.
    #[error("its revision is none; write a branch, a tag or a commit, with %2F for a slash")]
    Revision,
    /// Behind the repository.
    #[error("its folder: {0}")]
    Path(PathFault),
    /// Behind `https:`.
    #[error("the address {0}")]
    Address(AddressFault),
    /// An archive could hold anything.
    #[error("archives are not fetched; unpack it into a folder of your voices")]
    Archive,
    /// A page about a repository.
    #[error("that is a page of the hub; write hf:OWNER/REPO/FOLDER")]
    Page,
    /// Any other file.
    #[error("an address names one .aivm or .aivmx; a repository of the hub is hf:OWNER/REPO")]
    Extension,
}

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordFault {
    /// The system says so.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// It is no record.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// It is far too large.
    #[error("it is larger than 1 MiB")]
    Large,
    /// Another program wrote it.
    #[error("its format is {0}, and 1 is known here")]
    Format(u32),
    /// It speaks of files elsewhere.
    #[error("one of its files has a name that cannot be: {0}")]
    Name(#[from] NameFault),
}
