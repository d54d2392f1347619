//! Methods and content properties by name, from a small table of our own.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use super::value::{Reader, Table, put_short_string};

/// A line a class or method: id, name, fields. Field types: o octet, h short, l long, L long
/// long, s short string, S long string, T table, b bit, D timestamp.
const METHODS: &str = "
class 10 connection
  10 start version-major:o version-minor:o server-properties:T mechanisms:S locales:S
  11 start-ok client-properties:T mechanism:s response:S locale:s
  20 secure challenge:S
  21 secure-ok response:S
  30 tune channel-max:h frame-max:l heartbeat:h
  31 tune-ok channel-max:h frame-max:l heartbeat:h
  40 open virtual-host:s reserved-1:s reserved-2:b
  41 open-ok reserved-1:s
  50 close reply-code:h reply-text:s class-id:h method-id:h
  51 close-ok
  60 blocked reason:s
  61 unblocked
  70 update-secret new-secret:S reason:s
  71 update-secret-ok
class 20 channel
  10 open reserved-1:s
  11 open-ok reserved-1:S
  20 flow active:b
  21 flow-ok active:b
  40 close reply-code:h reply-text:s class-id:h method-id:h
  41 close-ok
class 30 access
  10 request realm:s exclusive:b passive:b active:b write:b read:b
  11 request-ok ticket:h
class 40 exchange
  10 declare ticket:h exchange:s type:s passive:b durable:b auto-delete:b internal:b no-wait:b arguments:T
  11 declare-ok
  20 delete ticket:h exchange:s if-unused:b no-wait:b
  21 delete-ok
  30 bind ticket:h destination:s source:s routing-key:s no-wait:b arguments:T
  31 bind-ok
  40 unbind ticket:h destination:s source:s routing-key:s no-wait:b arguments:T
  51 unbind-ok
class 50 queue
  10 declare ticket:h queue:s passive:b durable:b exclusive:b auto-delete:b no-wait:b arguments:T
  11 declare-ok queue:s message-count:l consumer-count:l
  20 bind ticket:h queue:s exchange:s routing-key:s no-wait:b arguments:T
  21 bind-ok
  30 purge ticket:h queue:s no-wait:b
  31 purge-ok message-count:l
  40 delete ticket:h queue:s if-unused:b if-empty:b no-wait:b
  41 delete-ok message-count:l
  50 unbind ticket:h queue:s exchange:s routing-key:s arguments:T
  51 unbind-ok
class 60 basic
  10 qos prefetch-size:l prefetch-count:h global:b
  11 qos-ok
  20 consume ticket:h queue:s consumer-tag:s no-local:b no-ack:b exclusive:b no-wait:b arguments:T
  21 consume-ok consumer-tag:s
  30 cancel consumer-tag:s no-wait:b
  31 cancel-ok consumer-tag:s
  40 publish ticket:h exchange:s routing-key:s mandatory:b immediate:b
  50 return reply-code:h reply-text:s exchange:s routing-key:s
  60 deliver consumer-tag:s delivery-tag:L redelivered:b exchange:s routing-key:s
  70 get ticket:h queue:s no-ack:b
  71 get-ok delivery-tag:L redelivered:b exchange:s routing-key:s message-count:l
  72 get-empty reserved-1:s
  80 ack delivery-tag:L multiple:b
  90 reject delivery-tag:L requeue:b
  100 recover-async requeue:b
  110 recover requeue:b
  111 recover-ok
  120 nack delivery-tag:L multiple:b requeue:b
class 85 confirm
  10 select no-wait:b
  11 select-ok
class 90 tx
  10 select
  11 select-ok
  20 commit
  21 commit-ok
  30 rollback
  31 rollback-ok
";

const PROPERTIES: &str = "content-type:s content-encoding:s headers:T delivery-mode:o priority:o \
     correlation-id:s reply-to:s expiration:s message-id:s timestamp:D type:s user-id:s app-id:s \
     cluster-id:s";

struct Field {
    name: &'static str,
    kind: char,
}

struct Shape {
    name: String,
    class: u16,
    id: u16,
    fields: Vec<Field>,
}

fn fields(text: &'static str) -> Vec<Field> {
    text.split_whitespace()
        .map(|field| {
            let (name, kind) = field.split_once(':').expect("name:type");
            Field {
                name,
                kind: kind.chars().next().expect("a type"),
            }
        })
        .collect()
}

struct Shapes {
    by_name: HashMap<&'static str, &'static Shape>,
    by_id: HashMap<(u16, u16), &'static Shape>,
}

static SHAPES: LazyLock<Shapes> = LazyLock::new(|| {
    let mut shapes = Shapes {
        by_name: HashMap::new(),
        by_id: HashMap::new(),
    };
    let (mut class, mut class_name) = (0, "");
    for line in METHODS
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let mut words = line.splitn(3, ' ');
        let (first, second) = (words.next().expect("a word"), words.next().expect("a word"));
        if first == "class" {
            class = second.parse().expect("a class id");
            class_name = words.next().expect("a class name");
            continue;
        }
        let id = first.parse().expect("a method id");
        let shape: &'static Shape = Box::leak(Box::new(Shape {
            name: format!("{class_name}.{second}"),
            class,
            id,
            fields: fields(words.next().unwrap_or_default()),
        }));
        shapes.by_name.insert(&shape.name, shape);
        shapes.by_id.insert((class, id), shape);
    }
    shapes
});

static PROPERTY_FIELDS: LazyLock<Vec<Field>> = LazyLock::new(|| fields(PROPERTIES));

/// A field's value.
#[derive(Clone, PartialEq)]
pub enum Arg {
    Bit(bool),
    Number(u64),
    Text(Vec<u8>),
    Table(Table),
}

impl Arg {
    fn zero(kind: char) -> Self {
        match kind {
            'b' => Arg::Bit(false),
            's' | 'S' => Arg::Text(Vec::new()),
            'T' => Arg::Table(Table::default()),
            _ => Arg::Number(0),
        }
    }

    fn put(&self, kind: char, out: &mut Vec<u8>) {
        match (kind, self) {
            ('o', Arg::Number(v)) => out.push(*v as u8),
            ('h', Arg::Number(v)) => out.extend((*v as u16).to_be_bytes()),
            ('l', Arg::Number(v)) => out.extend((*v as u32).to_be_bytes()),
            ('L' | 'D', Arg::Number(v)) => out.extend(v.to_be_bytes()),
            ('s', Arg::Text(v)) => put_short_string(out, v),
            ('S', Arg::Text(v)) => {
                out.extend((v.len() as u32).to_be_bytes());
                out.extend(v);
            }
            ('T', Arg::Table(v)) => out.extend(v.encode()),
            (kind, arg) => panic!("{arg:?} for a field of type {kind}"),
        }
    }

    fn read(kind: char, reader: &mut Reader<'_>) -> Self {
        match kind {
            'o' => Arg::Number(reader.u8().into()),
            'h' => Arg::Number(reader.u16().into()),
            'l' => Arg::Number(reader.u32().into()),
            'L' | 'D' => Arg::Number(reader.u64()),
            's' => Arg::Text(reader.short_string()),
            'S' => Arg::Text(reader.long_string()),
            'T' => Arg::Table(reader.table()),
            kind => panic!("field type {kind}"),
        }
    }
}

impl fmt::Debug for Arg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Arg::Bit(v) => write!(f, "{v}"),
            Arg::Number(v) => write!(f, "{v}"),
            Arg::Text(v) => write!(f, "{:?}", String::from_utf8_lossy(v)),
            Arg::Table(v) => write!(f, "{v:?}"),
        }
    }
}

macro_rules! arg_from {
    ($($from:ty => $variant:ident($convert:expr)),* $(,)?) => {
        $(impl From<$from> for Arg {
            fn from(value: $from) -> Self {
                Arg::$variant($convert(value))
            }
        })*
    };
}
arg_from! {
    bool => Bit(|v| v), i32 => Number(|v: i32| v as u64), u64 => Number(|v| v),
    usize => Number(|v: usize| v as u64), u16 => Number(u64::from), u32 => Number(u64::from),
    &str => Text(|v: &str| v.as_bytes().to_vec()), String => Text(String::into_bytes),
    &String => Text(|v: &String| v.clone().into_bytes()), Vec<u8> => Text(|v| v),
    Table => Table(|v| v),
}

/// A method with all its fields.
#[derive(Clone, PartialEq)]
pub struct Method {
    pub name: &'static str,
    pub class: u16,
    pub id: u16,
    args: Vec<(&'static str, Arg)>,
}

impl Method {
    #[track_caller]
    pub fn new(name: &str) -> Self {
        let shape = SHAPES
            .by_name
            .get(name)
            .unwrap_or_else(|| panic!("no method {name}"));
        let args = shape
            .fields
            .iter()
            .map(|field| (field.name, Arg::zero(field.kind)))
            .collect();
        Method {
            name: &shape.name,
            class: shape.class,
            id: shape.id,
            args,
        }
    }

    /// Every method there is, by id, its fields zero.
    pub fn every() -> Vec<Self> {
        let mut shapes: Vec<&Shape> = SHAPES.by_id.values().copied().collect();
        shapes.sort_by_key(|shape| (shape.class, shape.id));
        shapes
            .iter()
            .map(|shape| Method::new(&shape.name))
            .collect()
    }

    /// Class and method id of a method by its name; (0, 0) for "".
    #[track_caller]
    pub fn ids(name: &str) -> (u16, u16) {
        if name.is_empty() {
            return (0, 0);
        }
        let method = Method::new(name);
        (method.class, method.id)
    }

    #[track_caller]
    pub fn with(mut self, field: &str, value: impl Into<Arg>) -> Self {
        let field = field.replace('_', "-");
        match self.args.iter_mut().find(|(name, _)| *name == field) {
            Some((_, arg)) => *arg = value.into(),
            None => panic!("no field {field} in {}", self.name),
        }
        self
    }

    #[track_caller]
    pub fn arg(&self, field: &str) -> &Arg {
        match self.args.iter().find(|(name, _)| *name == field) {
            Some((_, arg)) => arg,
            None => panic!("no field {field} in {}", self.name),
        }
    }

    #[track_caller]
    pub fn text(&self, field: &str) -> String {
        match self.arg(field) {
            Arg::Text(bytes) => String::from_utf8(bytes.clone()).expect("UTF-8"),
            other => panic!("{field} is {other:?}"),
        }
    }

    #[track_caller]
    pub fn bytes(&self, field: &str) -> Vec<u8> {
        match self.arg(field) {
            Arg::Text(bytes) => bytes.clone(),
            other => panic!("{field} is {other:?}"),
        }
    }

    #[track_caller]
    pub fn number(&self, field: &str) -> u64 {
        match self.arg(field) {
            Arg::Number(number) => *number,
            other => panic!("{field} is {other:?}"),
        }
    }

    #[track_caller]
    pub fn bit(&self, field: &str) -> bool {
        match self.arg(field) {
            Arg::Bit(bit) => *bit,
            other => panic!("{field} is {other:?}"),
        }
    }

    #[track_caller]
    pub fn table(&self, field: &str) -> &Table {
        match self.arg(field) {
            Arg::Table(table) => table,
            other => panic!("{field} is {other:?}"),
        }
    }

    /// The payload of the method's frame.
    pub fn encode(&self) -> Vec<u8> {
        let shape = SHAPES.by_name[self.name];
        let mut out = Vec::new();
        out.extend(self.class.to_be_bytes());
        out.extend(self.id.to_be_bytes());
        let mut bits = 0;
        for (field, (_, arg)) in shape.fields.iter().zip(&self.args) {
            let Arg::Bit(bit) = arg else {
                bits = 0;
                arg.put(field.kind, &mut out);
                continue;
            };
            if bits % 8 == 0 {
                out.push(0);
            }
            *out.last_mut().expect("just pushed") |= u8::from(*bit) << (bits % 8);
            bits += 1;
        }
        out
    }

    /// All fields, in the order of the wire.
    pub fn args(&self) -> &[(&'static str, Arg)] {
        &self.args
    }

    pub fn decode(payload: &[u8]) -> Self {
        let mut reader = Reader(payload);
        let (class, id) = (reader.u16(), reader.u16());
        let shape = SHAPES
            .by_id
            .get(&(class, id))
            .unwrap_or_else(|| panic!("method {class}.{id}"));
        let (mut bits, mut octet) = (0, 0);
        let mut args = Vec::new();
        for field in &shape.fields {
            if field.kind == 'b' {
                if bits % 8 == 0 {
                    octet = reader.u8();
                }
                args.push((field.name, Arg::Bit(octet >> (bits % 8) & 1 == 1)));
                bits += 1;
            } else {
                bits = 0;
                args.push((field.name, Arg::read(field.kind, &mut reader)));
            }
        }
        assert!(
            reader.0.is_empty(),
            "{} bytes too many in {}",
            reader.0.len(),
            shape.name
        );
        Method {
            name: &shape.name,
            class,
            id,
            args,
        }
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        for (name, arg) in &self.args {
            write!(f, " {name}={arg:?}")?;
        }
        Ok(())
    }
}

/// Content properties that are set, in the order of the wire.
#[derive(Clone, Default, PartialEq)]
pub struct Properties(Vec<(&'static str, Arg)>);

impl Properties {
    #[track_caller]
    pub fn with(mut self, field: &str, value: impl Into<Arg>) -> Self {
        let field = field.replace('_', "-");
        let place = |name: &str| PROPERTY_FIELDS.iter().position(|field| field.name == name);
        let at = place(&field).unwrap_or_else(|| panic!("no property {field}"));
        self.0.retain(|(name, _)| *name != field);
        self.0.push((PROPERTY_FIELDS[at].name, value.into()));
        self.0.sort_by_key(|(name, _)| place(name));
        self
    }

    pub fn get(&self, field: &str) -> Option<&Arg> {
        self.0
            .iter()
            .find(|(name, _)| *name == field)
            .map(|(_, arg)| arg)
    }

    /// The headers; an empty table where there are none.
    pub fn headers(&self) -> Table {
        match self.get("headers") {
            Some(Arg::Table(table)) => table.clone(),
            _ => Table::default(),
        }
    }

    /// Those that are set, in the order of the wire.
    pub fn args(&self) -> &[(&'static str, Arg)] {
        &self.0
    }

    /// Flags and values.
    pub fn encode(&self) -> Vec<u8> {
        let (mut flags, mut values) = (0u16, Vec::new());
        for (at, field) in PROPERTY_FIELDS.iter().enumerate() {
            if let Some(arg) = self.get(field.name) {
                flags |= 1 << (15 - at);
                arg.put(field.kind, &mut values);
            }
        }
        let mut out = flags.to_be_bytes().to_vec();
        out.extend(values);
        out
    }

    pub fn decode(bytes: &[u8]) -> Self {
        let mut reader = Reader(bytes);
        let flags = reader.u16();
        assert_eq!(flags & 3, 0, "flags {flags:#06x}");
        let mut args = Vec::new();
        for (at, field) in PROPERTY_FIELDS.iter().enumerate() {
            if flags >> (15 - at) & 1 == 1 {
                args.push((field.name, Arg::read(field.kind, &mut reader)));
            }
        }
        assert!(
            reader.0.is_empty(),
            "{} bytes too many in properties",
            reader.0.len()
        );
        Properties(args)
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.0.iter().map(|(name, arg)| (name, arg)))
            .finish()
    }
}
