//! What there is little of, shared out among those who ask for it: so much in
//! all and so much for each address.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;

/// Whom something is counted to: an IPv4 address, an IPv6 network of 64 bits
/// (one household has so many), or nobody, if many people share the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner(Option<IpAddr>);

impl Owner {
    /// Addresses within `shared` belong to nobody.
    pub fn of(address: IpAddr, shared: &[Network]) -> Self {
        let address = address.to_canonical();
        if shared.iter().any(|network| network.holds(address)) {
            return Self(None);
        }
        Self(Some(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        }))
    }

    pub(crate) fn address(self) -> Option<IpAddr> {
        self.0
    }
}

/// An address, or all that begin alike: `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// Every address that IPv4 has for this machine, `127.0.0.0/8`.
    pub const LOOPBACK_V4: Self = Self {
        address: IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 0)),
        bits: 8,
    };
    /// The one address that IPv6 has for this machine, `::1`.
    pub const LOOPBACK_V6: Self = Self {
        address: IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        bits: 128,
    };

    /// More than an organisation of one's own has.
    pub(crate) fn is_wide(&self) -> bool {
        self.bits
            < match self.address {
                IpAddr::V4(_) => 8,
                IpAddr::V6(_) => 32,
            }
    }

    fn holds(&self, other: IpAddr) -> bool {
        let width = |address| match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        let number = |address| match address {
            IpAddr::V4(address) => u128::from(u32::from(address)),
            IpAddr::V6(address) => u128::from(address),
        };
        let dropped = width(self.address) - self.bits;
        width(self.address) == width(other)
            && (dropped == 128 || number(self.address) >> dropped == number(other) >> dropped)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || {
            format!("`{text}` is no address and no network; such as \"10.0.0.7\" or \"10.0.0.0/8\"")
        };
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text.as_str(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |bits| bits.parse().map_err(|_| wrong()))?;
        match bits <= most {
            true => Ok(Self { address, bits }),
            false => Err(wrong()),
        }
    }
}

/// Who has how much of one thing.
pub struct Ledger {
    most: usize,
    each: usize,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    total: usize,
    each: HashMap<Owner, usize>,
}

/// There is not so much left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    /// For anybody; this is all there is.
    All(usize),
    /// For this address; this is the most that one gets.
    Address(usize),
}

/// What one has; given back when dropped.
pub struct Share {
    ledger: Arc<Ledger>,
    owner: Owner,
    amount: usize,
}

impl Ledger {
    /// So much in all, and so much for each owner but nobody.
    pub fn new(most: usize, each: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            each,
            books: Mutex::default(),
        })
    }

    /// Nothing yet.
    pub fn share(self: &Arc<Self>, owner: Owner) -> Share {
        Share {
            ledger: Arc::clone(self),
            owner,
            amount: 0,
        }
    }
}

impl Share {
    /// All of it or nothing; the error says which bound is in the way.
    pub fn grow(&mut self, more: usize) -> Result<(), Short> {
        let ledger = &self.ledger;
        let mut books = ledger.books.lock().unwrap_or_else(PoisonError::into_inner);
        let books = &mut *books;
        if more > ledger.most.saturating_sub(books.total) {
            return Err(Short::All(ledger.most));
        }
        if self.owner.address().is_some() {
            let has = books.each.entry(self.owner).or_default();
            if more > ledger.each.saturating_sub(*has) {
                if *has == 0 {
                    books.each.remove(&self.owner);
                }
                return Err(Short::Address(ledger.each));
            }
            *has += more;
        }
        books.total += more;
        self.amount += more;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut books = self
            .ledger
            .books
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        books.total -= self.amount;
        if let Some(has) = books.each.get_mut(&self.owner) {
            *has -= self.amount;
            if *has == 0 {
                books.each.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        Network::try_from(text.to_owned()).expect("a network")
    }

    #[test]
    fn an_address_is_counted_unless_many_share_it() {
        let shared = [network("127.0.0.0/8"), network("::1"), network("10.1.2.3")];
        let owner = |address: &str| Owner::of(address.parse().expect("an address"), &shared);
        for many in [
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "::ffff:127.0.0.1",
            "10.1.2.3",
        ] {
            assert_eq!(owner(many).address(), None, "{many}");
        }
        assert!(owner("10.1.2.4").address().is_some());
        assert_eq!(owner("2001:db8::1"), owner("2001:db8::ffff:1"));
        assert_ne!(owner("2001:db8::1"), owner("2001:db8:0:1::1"));
        assert!(network("::/0").holds("::5".parse().expect("an address")));
        assert!(network("0.0.0.0/0").holds("9.9.9.9".parse().expect("an address")));
        for wrong in [
            "",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "name",
            "::/129",
            "1.1.1.1/",
        ] {
            assert!(Network::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_taken_is_bounded_and_comes_back() {
        let ledger = Ledger::new(10, 6);
        let owner = |last| Owner::of(IpAddr::from([192, 0, 2, last]), &[]);
        let mut first = ledger.share(owner(1));
        assert_eq!(first.grow(6), Ok(()));
        assert_eq!(first.grow(1), Err(Short::Address(6)));
        let mut second = ledger.share(owner(2));
        assert_eq!(second.grow(5), Err(Short::All(10)));
        assert_eq!(second.grow(4), Ok(()));
        drop(first);
        assert_eq!(second.grow(2), Ok(()));
        drop(second);
        let mut many = ledger.share(Owner(None));
        assert_eq!(many.grow(10), Ok(()));
        drop(many);
        let books = ledger.books.lock().expect("nobody panicked");
        assert_eq!((books.total, books.each.len()), (0, 0));
    }
}
