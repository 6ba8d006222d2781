//! Which names may become files and folders here. A name from the hub is
//! hostile until it has passed.

use crate::error::Error;
use crate::faults::{NameFault, PathFault};
use crate::foreign::{Foreign, steers};

/// Bytes of one name; file systems take 255, and suffixes need room.
const NAME_MAX: usize = 200;
/// Bytes of a path within a repository.
const PATH_MAX: usize = 1_024;

/// Whether a voice may go by this name: that of its folder.
pub(crate) fn check_voice(name: &str) -> Result<(), Error> {
    check(name).map_err(|fault| Error::Name {
        name: Foreign::new(name),
        fault,
    })
}

/// Whether a file or folder here may have this name.
pub(crate) fn check(name: &str) -> Result<(), NameFault> {
    if name.is_empty() {
        Err(NameFault::Empty)
    } else if name.len() > NAME_MAX {
        Err(NameFault::Long)
    } else if name.contains(['/', '\\']) {
        Err(NameFault::Separator)
    } else if name.starts_with('.') {
        Err(NameFault::Dot)
    } else if name.chars().any(steers) {
        Err(NameFault::Control)
    } else {
        Ok(())
    }
}

/// Whether this is a path within a repository, and of nothing else.
pub(crate) fn check_path(path: &str) -> Result<(), PathFault> {
    if path.is_empty() {
        Err(PathFault::Empty)
    } else if path.len() > PATH_MAX {
        Err(PathFault::Long)
    } else if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        Err(PathFault::Elsewhere)
    } else if path.contains('\\') {
        Err(PathFault::Backslash)
    } else if path.chars().any(steers) {
        Err(PathFault::Control)
    } else {
        Ok(())
    }
}

/// A path's folder and its last part; at the root the folder is empty.
pub(crate) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_in_its_folder() {
        let long = "x".repeat(NAME_MAX + 1);
        let cases = [
            ("", NameFault::Empty),
            (long.as_str(), NameFault::Long),
            ("a/b", NameFault::Separator),
            ("a\\b", NameFault::Separator),
            ("..", NameFault::Dot),
            (".pull", NameFault::Dot),
            ("a\0", NameFault::Control),
            ("a\u{202e}b", NameFault::Control),
        ];
        for (name, fault) in cases {
            assert_eq!(check(name), Err(fault), "{name:?}");
        }
        assert_eq!(check("小春音アミ v1.0"), Ok(()));
    }

    #[test]
    fn a_path_stays_in_its_repository() {
        let long = "x/".repeat(PATH_MAX);
        let cases = [
            ("", PathFault::Empty),
            (long.as_str(), PathFault::Long),
            ("../x", PathFault::Elsewhere),
            ("a/../../x", PathFault::Elsewhere),
            ("/etc/passwd", PathFault::Elsewhere),
            ("a//b", PathFault::Elsewhere),
            ("a/./b", PathFault::Elsewhere),
            ("a\\..\\b", PathFault::Backslash),
            ("a\nb", PathFault::Control),
        ];
        for (path, fault) in cases {
            assert_eq!(check_path(path), Err(fault), "{path:?}");
        }
        assert_eq!(check_path("model_assets/ami/.gitattributes"), Ok(()));
    }
}
