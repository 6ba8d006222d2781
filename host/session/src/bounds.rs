//! What the system lets this process take: the memory of the machine, of every
//! cgroup above the process, and its own limits on addresses.
//!
//! A limit may stand at any ancestor, and siblings share it; the one that is
//! shown at the process's own cgroup is often none at all.

use std::path::{Path, PathBuf};

/// Where the system's tables are; another root in tests.
pub(crate) struct System {
    root: PathBuf,
}

/// The tightest of all, and how much of it is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) bytes: u64,
    /// Not taken by anybody, or only by the file cache.
    pub(crate) free: u64,
    /// What it is, for the log.
    pub(crate) of: String,
}

impl Default for System {
    fn default() -> Self {
        Self {
            root: PathBuf::from("/"),
        }
    }
}

impl System {
    #[cfg(test)]
    fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Of the memory that pages of this process may take.
    pub(crate) fn memory(&self) -> Bound {
        let mut bound = Bound {
            bytes: self.table("proc/meminfo", "MemTotal:").max(1),
            free: self.table("proc/meminfo", "MemAvailable:"),
            of: "this machine".to_owned(),
        };
        for cgroup in self.cgroups() {
            let Some(limit) = cgroup.limit() else {
                continue;
            };
            let free = limit.saturating_sub(cgroup.used());
            // One may have the lowest limit and another the least room.
            bound.free = bound.free.min(free);
            if limit < bound.bytes {
                bound.bytes = limit.max(1);
                bound.of = format!("the cgroup {}", cgroup.folder.display());
            }
        }
        bound
    }

    /// Of the addresses this process may map; None if they are not limited.
    pub(crate) fn addresses(&self) -> Option<Bound> {
        let limits = self.read("proc/self/limits");
        let row = |name: &str| {
            let row = limits.lines().find_map(|line| line.strip_prefix(name))?;
            row.split_whitespace().next()?.parse::<u64>().ok()
        };
        let status = |name: &str| self.table("proc/self/status", name);
        let all = row("Max address space").map(|bytes| Bound {
            bytes,
            free: bytes.saturating_sub(status("VmSize:")),
            of: "ulimit -v (address space)".to_owned(),
        });
        let data = row("Max data size").map(|bytes| Bound {
            bytes,
            free: bytes.saturating_sub(status("VmData:")),
            of: "ulimit -d (data)".to_owned(),
        });
        all.into_iter().chain(data).min_by_key(|bound| bound.free)
    }

    /// Every cgroup from this process's own up to the root that can be seen.
    fn cgroups(&self) -> Vec<Cgroup> {
        let mut found = Vec::new();
        for line in self.read("proc/self/cgroup").lines() {
            // `number:controllers:path`; version 2 has no controllers.
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
                continue;
            };
            let (tops, kind): (&[&str], _) = match controllers {
                "" => (&["sys/fs/cgroup", "sys/fs/cgroup/unified"], Kind::Two),
                names if names.split(',').any(|name| name == "memory") => {
                    (&["sys/fs/cgroup/memory"], Kind::One)
                }
                _ => continue,
            };
            for top in tops {
                let top = self.root.join(top);
                // A namespace may show its own root in the place of the path's
                // beginning; then only what exists is walked, and the root.
                let own = Path::new(path.trim_start_matches('/'));
                let strange = own.components().any(|part| part.as_os_str() == "..");
                let below = if strange { Path::new("") } else { own };
                for step in below.ancestors() {
                    found.push(Cgroup {
                        folder: top.join(step),
                        kind,
                    });
                }
            }
        }
        found
    }

    /// A field in kB of one of the system's tables, in bytes.
    fn table(&self, file: &str, name: &str) -> u64 {
        let text = self.read(file);
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next());
        number
            .and_then(|number| number.parse::<u64>().ok())
            .unwrap_or(0)
            .saturating_mul(1024)
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.root.join(file)).unwrap_or_default()
    }
}

#[derive(Clone, Copy)]
enum Kind {
    One,
    Two,
}

struct Cgroup {
    folder: PathBuf,
    kind: Kind,
}

impl Cgroup {
    /// None if there is none, or the folder is not there.
    fn limit(&self) -> Option<u64> {
        let files: &[&str] = match self.kind {
            Kind::One => &["memory.limit_in_bytes", "memory.soft_limit_in_bytes"],
            // Above `high` the system slows the process down to a crawl.
            Kind::Two => &["memory.max", "memory.high"],
        };
        let limits = files.iter().filter_map(|file| self.number(file));
        // Version 1 says "none" by a number that no machine has.
        limits.filter(|limit| *limit < 1 << 60).min()
    }

    /// What cannot be had by dropping file pages.
    fn used(&self) -> u64 {
        let (all, cache) = match self.kind {
            Kind::One => ("memory.usage_in_bytes", "total_cache "),
            Kind::Two => ("memory.current", "file "),
        };
        let stat = std::fs::read_to_string(self.folder.join("memory.stat")).unwrap_or_default();
        let cached = stat.lines().find_map(|line| line.strip_prefix(cache));
        let cached = cached.and_then(|n| n.trim().parse::<u64>().ok());
        let all = self.number(all).unwrap_or(0);
        all.saturating_sub(cached.unwrap_or(0))
    }

    fn number(&self, file: &str) -> Option<u64> {
        let text = std::fs::read_to_string(self.folder.join(file)).ok()?;
        text.trim().parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    /// A machine of 64 GiB whose files are these.
    fn system(files: &[(&str, &str)]) -> (tempfile::TempDir, System) {
        let root = tempfile::tempdir().expect("a folder");
        let machine = "MemTotal: 67108864 kB\nMemAvailable: 33554432 kB\n";
        for (file, text) in files.iter().chain(&[("proc/meminfo", machine)]) {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, text).expect("a file");
        }
        let system = System::at(root.path());
        (root, system)
    }

    fn memory(files: &[(&str, &str)]) -> (u64, u64) {
        let (_root, system) = system(files);
        let bound = system.memory();
        (bound.bytes / GIB, bound.free / GIB)
    }

    #[test]
    fn the_tightest_limit_of_all_ancestors_counts() {
        let own = ("proc/self/cgroup", "0::/pod/box/leaf\n");
        let three = "3221225472\n";
        let top = "sys/fs/cgroup/pod";
        assert_eq!(memory(&[]), (64, 32), "no cgroup");
        assert_eq!(memory(&[own]), (64, 32), "no controller");
        let max = [
            own,
            ("sys/fs/cgroup/pod/memory.max", three),
            ("sys/fs/cgroup/pod/box/memory.max", "8589934592\n"),
            ("sys/fs/cgroup/pod/box/leaf/memory.max", "max\n"),
        ];
        assert_eq!(memory(&max), (3, 3), "of the grandparent");
        let high = [own, ("sys/fs/cgroup/pod/box/memory.high", three)];
        assert_eq!(memory(&high), (3, 3), "`high` is a limit as well");
        let shared = [
            own,
            ("sys/fs/cgroup/pod/memory.max", "4294967296"),
            ("sys/fs/cgroup/pod/memory.current", "4294967296"),
            ("sys/fs/cgroup/pod/memory.stat", "anon 5\nfile 1073741824\n"),
        ];
        assert_eq!(memory(&shared), (4, 1), "siblings take of it: {top}");
    }

    #[test]
    fn a_private_namespace_shows_its_own_root() {
        let limit = ("sys/fs/cgroup/memory.max", "2147483648");
        for path in ["0::/\n", "0::/docker/3f2a/not/here\n", "0::/../../other\n"] {
            let files = [("proc/self/cgroup", path), limit];
            assert_eq!(memory(&files), (2, 2), "{path}");
        }
    }

    #[test]
    fn version_one_is_read_too() {
        let own = (
            "proc/self/cgroup",
            "5:cpu,cpuacct:/a\n4:memory:/a/b\n0::/\n",
        );
        let none = "9223372036854771712";
        let files = [
            own,
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", none),
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1073741824"),
            ("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", none),
            ("sys/fs/cgroup/memory/a/b/memory.usage_in_bytes", "5"),
        ];
        assert_eq!(memory(&files), (1, 1));
    }

    #[test]
    fn nonsense_is_no_limit() {
        for text in ["", "max", "-1", "many", "99999999999999999999999"] {
            let files = [
                ("proc/self/cgroup", "0::/a\n:\n7\n"),
                ("sys/fs/cgroup/a/memory.max", text),
            ];
            assert_eq!(memory(&files), (64, 32), "{text}");
        }
    }

    #[test]
    fn limits_on_addresses_leave_what_is_not_mapped() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax data size             unlimited            unlimited            bytes     \nMax address space         4294967296           unlimited            bytes     \n";
        let status = "VmSize:\t 1048576 kB\nVmData:\t 524288 kB\n";
        let (_root, limited) =
            system(&[("proc/self/limits", limits), ("proc/self/status", status)]);
        let bound = limited.addresses().expect("a limit");
        assert_eq!((bound.bytes / GIB, bound.free / GIB), (4, 3));
        let data = limits.replace("size             unlimited", "size             2147483648");
        let (_root, limited) = system(&[("proc/self/limits", &data), ("proc/self/status", status)]);
        let bound = limited.addresses().expect("a limit");
        assert_eq!(bound.free, 2 * GIB - (512 << 20), "{}", bound.of);
        let free = limits.replace("4294967296", "unlimited");
        let (_root, free) = system(&[("proc/self/limits", &free)]);
        assert_eq!(free.addresses(), None);
    }
}
