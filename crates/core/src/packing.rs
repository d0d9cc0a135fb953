//! Binary form of what one executable of daemonic tells another of the same build. It has no versions and no names:
//! [`BUILD`] is compared before anything is unpacked.

use std::ffi::CString;

/// Identifies the build: the version, and a hash of this crate's sources (build.rs).
pub const BUILD: &str = env!("DAEMONIC_BUILD");

/// Value that crosses from one process to another.
pub trait Pack: Sized {
    /// Appends the value.
    fn pack(&self, to: &mut Vec<u8>);
    /// Takes the value off the front; None if there is something else.
    fn unpack(from: &mut &[u8]) -> Option<Self>;
}

/// Implements [`Pack`] for a struct whose fields have it.
macro_rules! pack_fields {
    ($type:ident { $($field:ident),* $(,)? }) => {
        impl $crate::packing::Pack for $type {
            fn pack(&self, to: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $($crate::packing::Pack::pack($field, to);)*
            }

            fn unpack(from: &mut &[u8]) -> Option<Self> {
                $(let $field = $crate::packing::Pack::unpack(from)?;)*
                Some(Self { $($field),* })
            }
        }
    };
}
pub(crate) use pack_fields;

macro_rules! pack_numbers {
    ($($number:ty),*) => {
        $(impl Pack for $number {
            fn pack(&self, to: &mut Vec<u8>) {
                to.extend_from_slice(&self.to_ne_bytes());
            }

            fn unpack(from: &mut &[u8]) -> Option<Self> {
                from.split_off(..size_of::<Self>())?.try_into().ok().map(Self::from_ne_bytes)
            }
        })*
    };
}
pack_numbers!(i32, u32, u64);

impl Pack for bool {
    fn pack(&self, to: &mut Vec<u8>) {
        to.push(u8::from(*self));
    }

    fn unpack(from: &mut &[u8]) -> Option<Self> {
        from.split_off_first().map(|&byte| byte == 1)
    }
}

fn pack_length(length: usize, to: &mut Vec<u8>) {
    (length as u64).pack(to);
}

fn unpack_length(from: &mut &[u8]) -> Option<usize> {
    u64::unpack(from)?.try_into().ok()
}

impl Pack for Vec<u8> {
    fn pack(&self, to: &mut Vec<u8>) {
        pack_length(self.len(), to);
        to.extend_from_slice(self);
    }

    fn unpack(from: &mut &[u8]) -> Option<Self> {
        let length = unpack_length(from)?;
        from.split_off(..length).map(<[u8]>::to_vec)
    }
}

impl Pack for CString {
    fn pack(&self, to: &mut Vec<u8>) {
        self.as_bytes().to_vec().pack(to);
    }

    fn unpack(from: &mut &[u8]) -> Option<Self> {
        Self::new(Vec::<u8>::unpack(from)?).ok()
    }
}

impl<T: Pack> Pack for Vec<T> {
    fn pack(&self, to: &mut Vec<u8>) {
        pack_length(self.len(), to);
        for each in self {
            each.pack(to);
        }
    }

    fn unpack(from: &mut &[u8]) -> Option<Self> {
        let length = unpack_length(from)?;
        (0..length).map(|_| T::unpack(from)).collect()
    }
}

impl<T: Pack> Pack for Option<T> {
    fn pack(&self, to: &mut Vec<u8>) {
        self.is_some().pack(to);
        if let Some(each) = self {
            each.pack(to);
        }
    }

    fn unpack(from: &mut &[u8]) -> Option<Self> {
        if bool::unpack(from)? { T::unpack(from).map(Some) } else { Some(None) }
    }
}

impl<A: Pack, B: Pack> Pack for (A, B) {
    fn pack(&self, to: &mut Vec<u8>) {
        self.0.pack(to);
        self.1.pack(to);
    }

    fn unpack(from: &mut &[u8]) -> Option<Self> {
        Some((A::unpack(from)?, B::unpack(from)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_unpacked_as_it_was_packed_and_a_part_of_it_is_none() {
        #[derive(Debug, PartialEq)]
        struct Value {
            texts: Vec<CString>,
            bytes: Option<Vec<u8>>,
            pairs: Vec<(i32, bool)>,
            absent: Option<u32>,
            size: u64,
        }
        pack_fields!(Value { texts, bytes, pairs, absent, size });
        let value = Value {
            texts: vec![c"a".to_owned(), c"".to_owned()],
            bytes: Some(vec![0, 255]),
            pairs: vec![(-1, true), (7, false)],
            absent: None,
            size: u64::MAX,
        };
        let mut bytes = Vec::new();
        value.pack(&mut bytes);
        assert_eq!(Value::unpack(&mut bytes.as_slice()), Some(value));
        for length in 0..bytes.len() {
            assert_eq!(Value::unpack(&mut &bytes[..length]), None);
        }
    }
}
