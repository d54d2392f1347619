//! Field tables: the values, how they are written, how they are read.

use std::fmt;

/// A field value. Whatever Rust type a test writes becomes the tag that clients use for it.
#[derive(Clone, PartialEq)]
pub enum Value {
    Bool(bool),
    I8(i8),
    U8(u8),
    I16(i16),
    U16(u16),
    I32(i32),
    U32(u32),
    I64(i64),
    F32(f32),
    F64(f64),
    Decimal(u8, u32),
    Text(Vec<u8>),
    Bytes(Vec<u8>),
    Array(Vec<Value>),
    Timestamp(u64),
    Table(Table),
    Void,
}

/// A field table, its entries in the order of the wire.
#[derive(Clone, Default, PartialEq)]
pub struct Table(pub Vec<(String, Value)>);

impl Table {
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    }

    /// The value of a key that must be there.
    #[track_caller]
    pub fn at(&self, key: &str) -> &Value {
        self.get(key)
            .unwrap_or_else(|| panic!("no {key} in {self:?}"))
    }

    pub fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(key, _)| key.as_str()).collect()
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (key, value) in &self.0 {
            put_short_string(&mut body, key.as_bytes());
            value.put(&mut body);
        }
        let mut out = (body.len() as u32).to_be_bytes().to_vec();
        out.extend(body);
        out
    }
}

impl Value {
    #[track_caller]
    pub fn table(&self) -> &Table {
        match self {
            Value::Table(table) => table,
            other => panic!("not a table: {other:?}"),
        }
    }

    #[track_caller]
    pub fn array(&self) -> &[Value] {
        match self {
            Value::Array(values) => values,
            other => panic!("not an array: {other:?}"),
        }
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        let mut tagged = |tag: u8, bytes: &[u8]| {
            out.push(tag);
            out.extend_from_slice(bytes);
        };
        match self {
            Value::Bool(v) => tagged(b't', &[u8::from(*v)]),
            Value::I8(v) => tagged(b'b', &v.to_be_bytes()),
            Value::U8(v) => tagged(b'B', &v.to_be_bytes()),
            Value::I16(v) => tagged(b's', &v.to_be_bytes()),
            Value::U16(v) => tagged(b'u', &v.to_be_bytes()),
            Value::I32(v) => tagged(b'I', &v.to_be_bytes()),
            Value::U32(v) => tagged(b'i', &v.to_be_bytes()),
            Value::I64(v) => tagged(b'l', &v.to_be_bytes()),
            Value::F32(v) => tagged(b'f', &v.to_be_bytes()),
            Value::F64(v) => tagged(b'd', &v.to_be_bytes()),
            Value::Decimal(scale, v) => {
                tagged(b'D', &[*scale]);
                out.extend(v.to_be_bytes());
            }
            Value::Text(v) => {
                tagged(b'S', &(v.len() as u32).to_be_bytes());
                out.extend(v);
            }
            Value::Bytes(v) => {
                tagged(b'x', &(v.len() as u32).to_be_bytes());
                out.extend(v);
            }
            Value::Array(values) => {
                let mut body = Vec::new();
                values.iter().for_each(|value| value.put(&mut body));
                tagged(b'A', &(body.len() as u32).to_be_bytes());
                out.extend(body);
            }
            Value::Timestamp(v) => tagged(b'T', &v.to_be_bytes()),
            Value::Table(table) => tagged(b'F', &table.encode()),
            Value::Void => tagged(b'V', &[]),
        }
    }
}

pub fn put_short_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(u8::try_from(bytes.len()).expect("a short string has at most 255 bytes"));
    out.extend(bytes);
}

/// Reads from a payload; a payload that is too short is the broker's mistake and fails the test.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (head, rest) = self
            .0
            .split_at_checked(count)
            .expect("payload ends too early");
        self.0 = rest;
        head
    }

    fn fixed<const N: usize>(&mut self) -> [u8; N] {
        self.bytes(N).try_into().expect("N bytes")
    }

    pub fn u8(&mut self) -> u8 {
        u8::from_be_bytes(self.fixed())
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.fixed())
    }

    pub fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.fixed())
    }

    pub fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.fixed())
    }

    pub fn short_string(&mut self) -> Vec<u8> {
        let length = self.u8() as usize;
        self.bytes(length).to_vec()
    }

    pub fn long_string(&mut self) -> Vec<u8> {
        let length = self.u32() as usize;
        self.bytes(length).to_vec()
    }

    pub fn table(&mut self) -> Table {
        let length = self.u32() as usize;
        let mut inner = Reader(self.bytes(length));
        let mut entries = Vec::new();
        while !inner.0.is_empty() {
            let key = String::from_utf8(inner.short_string()).expect("UTF-8 key");
            entries.push((key, inner.value()));
        }
        Table(entries)
    }

    fn value(&mut self) -> Value {
        match self.u8() {
            b't' => Value::Bool(self.u8() != 0),
            b'b' => Value::I8(i8::from_be_bytes(self.fixed())),
            b'B' => Value::U8(self.u8()),
            b's' => Value::I16(i16::from_be_bytes(self.fixed())),
            b'u' => Value::U16(self.u16()),
            b'I' => Value::I32(i32::from_be_bytes(self.fixed())),
            b'i' => Value::U32(self.u32()),
            b'l' => Value::I64(i64::from_be_bytes(self.fixed())),
            b'f' => Value::F32(f32::from_be_bytes(self.fixed())),
            b'd' => Value::F64(f64::from_be_bytes(self.fixed())),
            b'D' => Value::Decimal(self.u8(), self.u32()),
            b'S' => Value::Text(self.long_string()),
            b'x' => Value::Bytes(self.long_string()),
            b'A' => {
                let length = self.u32() as usize;
                let mut inner = Reader(self.bytes(length));
                let mut values = Vec::new();
                while !inner.0.is_empty() {
                    values.push(inner.value());
                }
                Value::Array(values)
            }
            b'T' => Value::Timestamp(self.u64()),
            b'F' => Value::Table(self.table()),
            b'V' => Value::Void,
            tag => panic!("unknown field tag {tag}"),
        }
    }
}

macro_rules! value_from {
    ($($from:ty => $variant:ident),* $(,)?) => {
        $(impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Value::$variant(value.into())
            }
        })*
    };
}
value_from! {
    bool => Bool, i8 => I8, u8 => U8, i16 => I16, u16 => U16, i32 => I32, u32 => U32, i64 => I64,
    f32 => F32, f64 => F64, &str => Text, String => Text, Vec<Value> => Array,
    Table => Table,
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Value::from(value.as_str())
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(v) => write!(f, "{v}"),
            Value::I8(v) => write!(f, "{v}i8"),
            Value::U8(v) => write!(f, "{v}u8"),
            Value::I16(v) => write!(f, "{v}i16"),
            Value::U16(v) => write!(f, "{v}u16"),
            Value::I32(v) => write!(f, "{v}i32"),
            Value::U32(v) => write!(f, "{v}u32"),
            Value::I64(v) => write!(f, "{v}i64"),
            Value::F32(v) => write!(f, "{v}f32"),
            Value::F64(v) => write!(f, "{v}f64"),
            Value::Decimal(scale, v) => write!(f, "{v}e-{scale}"),
            Value::Text(v) => write!(f, "{:?}", String::from_utf8_lossy(v)),
            Value::Bytes(v) => write!(f, "x{v:?}"),
            Value::Array(v) => write!(f, "{v:?}"),
            Value::Timestamp(v) => write!(f, "@{v}"),
            Value::Table(v) => write!(f, "{v:?}"),
            Value::Void => write!(f, "void"),
        }
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.0.iter().map(|(key, value)| (key, value)))
            .finish()
    }
}
