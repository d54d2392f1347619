//! Password hashes in RabbitMQ's format: four bytes of salt, then the SHA-256 (or SHA-512) of
//! salt and password; in base64 where people see it.
//!
//! Such a hash is cheap to compute, so it protects a password only as far as the password is hard
//! to guess. It is what RabbitMQ's definitions hold, which must stay usable.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

/// RabbitMQ's name for salted SHA-256.
pub const SHA_256: &str = "rabbit_password_hashing_sha256";
/// RabbitMQ's name for salted SHA-512.
pub const SHA_512: &str = "rabbit_password_hashing_sha512";

const SALT_BYTES: usize = 4;
const SHA_256_BYTES: usize = 32;
const SHA_512_BYTES: usize = 64;

/// See the module.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    salt: [u8; SALT_BYTES],
    digest: Vec<u8>,
}

/// What is no password hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordHashError {
    /// It is not base64.
    NotBase64,
    /// It is none of salt and SHA-256, salt and SHA-512.
    UnknownLength,
}

impl fmt::Display for PasswordHashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotBase64 => "the password hash is not base64",
            Self::UnknownLength => {
                "the password hash is neither a salted SHA-256 (36 bytes) nor a salted SHA-512 \
                 (68 bytes)"
            }
        })
    }
}

impl std::error::Error for PasswordHashError {}

impl PasswordHash {
    /// The hash of a password, with a fresh salt.
    pub fn of(password: &[u8]) -> Self {
        let salt: [u8; SALT_BYTES] = rand::random();
        let digest = digest::<Sha256>(&salt, password);
        Self { salt, digest }
    }

    /// The hash as RabbitMQ's definitions and `rabbitmqctl hash_password` write it.
    pub fn from_base64(text: &str) -> Result<Self, PasswordHashError> {
        let bytes = STANDARD
            .decode(text.trim())
            .map_err(|_| PasswordHashError::NotBase64)?;
        match bytes.split_first_chunk() {
            Some((salt, digest)) if [SHA_256_BYTES, SHA_512_BYTES].contains(&digest.len()) => {
                Ok(Self {
                    salt: *salt,
                    digest: digest.to_vec(),
                })
            }
            _ => Err(PasswordHashError::UnknownLength),
        }
    }

    /// The hash in base64.
    pub fn to_base64(&self) -> String {
        STANDARD.encode([&self.salt[..], &self.digest].concat())
    }

    /// What RabbitMQ calls the way in which it was made.
    pub fn algorithm(&self) -> &'static str {
        match self.digest.len() {
            SHA_512_BYTES => SHA_512,
            _ => SHA_256,
        }
    }

    /// Whether it is that password's; how long that takes does not depend on what is wrong.
    pub fn is_of(&self, password: &[u8]) -> bool {
        let digest = match self.digest.len() {
            SHA_512_BYTES => digest::<Sha512>(&self.salt, password),
            _ => digest::<Sha256>(&self.salt, password),
        };
        digest.ct_eq(&self.digest).into()
    }
}

fn digest<D: Digest>(salt: &[u8], password: &[u8]) -> Vec<u8> {
    D::new()
        .chain_update(salt)
        .chain_update(password)
        .finalize()
        .to_vec()
}

/// Says nothing of what it holds.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RabbitMQ's documentation of password hashes gives this one: salt 908D C60A, password
    /// `test12`.
    #[test]
    fn is_what_rabbitmq_makes() {
        let hash = PasswordHash::from_base64("kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR");
        let hash = hash.expect("a hash");
        assert!(hash.is_of(b"test12"));
        assert!(!hash.is_of(b"test13"));
        assert!(!hash.is_of(b""));
    }

    #[test]
    fn comes_back_from_base64() {
        let hash = PasswordHash::of(b"secret");
        let again = PasswordHash::from_base64(&hash.to_base64()).expect("a hash");
        assert_eq!(hash, again);
        assert!(again.is_of(b"secret"));
        assert_ne!(hash, PasswordHash::of(b"secret"), "salts differ");
    }

    #[test]
    fn knows_sha_512() {
        let salt = [1, 2, 3, 4];
        let hash = PasswordHash {
            salt,
            digest: digest::<Sha512>(&salt, b"secret"),
        };
        let again = PasswordHash::from_base64(&hash.to_base64()).expect("a hash");
        assert!(again.is_of(b"secret"));
        assert!(!again.is_of(b"secret2"));
    }

    #[test]
    fn refuses_what_is_none() {
        let read = PasswordHash::from_base64;
        assert_eq!(read("not base64!"), Err(PasswordHashError::NotBase64));
        assert_eq!(read(""), Err(PasswordHashError::UnknownLength));
        assert_eq!(read("AAAA"), Err(PasswordHashError::UnknownLength));
        assert_eq!(
            read(&STANDARD.encode([0; 20])),
            Err(PasswordHashError::UnknownLength)
        );
    }
}
