//! Strict reading: one JSON object in UTF-8, no name twice at any level, nothing after it.
//!
//! serde_json reads; the visitors here only refuse what two readers could read in two ways,
//! and keep what there is to know of the outermost members.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::json::Fault;

/// One member of the outermost object.
pub(super) struct Member<'b> {
    pub(super) name: Cow<'b, str>,
    pub(super) value: Value<'b>,
    /// The value as it came; only of a member that was asked for so.
    pub(super) raw: Option<&'b str>,
}

/// What there is to know of a value.
pub(super) enum Value<'b> {
    Object { empty: bool },
    Other,
    Text(Cow<'b, str>),
}

/// The outermost object's members, if the body is one object and strict JSON throughout;
/// those called as in `raw` also as they came.
pub(super) fn members<'b>(body: &'b [u8], raw: &[String]) -> Result<Vec<Member<'b>>, Fault> {
    let text = std::str::from_utf8(body).map_err(|_not_utf8| Fault::NotJson)?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let members = Outermost { raw }
        .deserialize(&mut reader)
        .map_err(|error| fault(&error))?;
    reader.end().map_err(|_more| Fault::NotJson)?;
    members.ok_or(Fault::NotAnObject)
}

/// Only a name that stands twice is raised as a data error by the visitors below.
fn fault(error: &serde_json::Error) -> Fault {
    if error.is_data() {
        Fault::DuplicateName
    } else {
        Fault::NotJson
    }
}

/// Reads the outermost value; `None` where it is no object.
struct Outermost<'r> {
    raw: &'r [String],
}

impl<'de> DeserializeSeed<'de> for Outermost<'_> {
    type Value = Option<Vec<Member<'de>>>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_any(self)
    }
}

/// The visits of a value that is no object: each is read and comes to the same.
macro_rules! scalars {
    ($de:lifetime, $result:expr) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($result)
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($result)
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($result)
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($result)
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($result)
        }
        fn visit_seq<A: SeqAccess<$de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            while items.next_element_seed(Strict)?.is_some() {}
            Ok($result)
        }
    };
}

impl<'de> Visitor<'de> for Outermost<'_> {
    type Value = Option<Vec<Member<'de>>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    scalars!('de, None);

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members: Vec<Member<'de>> = Vec::with_capacity(8);
        let mut names = Names::default();
        while let Some(Text(name)) = map.next_key()? {
            names.note(name.clone())?;
            let (value, raw) = if self.raw.iter().any(|wanted| *wanted == name) {
                let raw: &'de RawValue = map.next_value()?;
                let value = Strict.deserialize(&mut serde_json::Deserializer::from_str(raw.get()));
                (value.map_err(A::Error::custom)?, Some(raw.get()))
            } else {
                (map.next_value_seed(Strict)?, None)
            };
            members.push(Member { name, value, raw });
        }
        Ok(Some(members))
    }
}

/// Reads any value to its end, strictly.
struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    scalars!('de, Value::Other);

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut names = Names::default();
        while let Some(Text(name)) = map.next_key()? {
            names.note(name)?;
            map.next_value_seed(Self)?;
        }
        Ok(Value::Object {
            empty: names.is_empty(),
        })
    }
}

/// A string, borrowed where it has no escape.
struct Text<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        match reader.deserialize_str(Strict)? {
            Value::Text(text) => Ok(Self(text)),
            Value::Object { .. } | Value::Other => Err(D::Error::custom("not a string")),
        }
    }
}

/// The names of one object so far. Few are looked through; a body of 64 KiB can hold
/// thousands, so many go into a set.
#[derive(Default)]
struct Names<'de> {
    /// Up to eight without an allocation.
    few: SmallVec<[Cow<'de, str>; 8]>,
    many: HashSet<Cow<'de, str>>,
}

impl<'de> Names<'de> {
    const FEW: usize = 16;

    fn note<E: serde::de::Error>(&mut self, name: Cow<'de, str>) -> Result<(), E> {
        let twice = self.few.contains(&name) || self.many.contains(&name);
        if twice {
            return Err(E::custom("a name stands twice"));
        }
        if self.few.len() < Self::FEW {
            self.few.push(name);
        } else {
            self.many.insert(name);
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.few.is_empty()
    }
}
