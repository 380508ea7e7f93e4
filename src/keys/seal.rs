//! Own keys at rest: sealed by XChaCha20-Poly1305 under the master key, each for its owner alone.
//!
//! What is stored is a random nonce (24 bytes, so that chance never repeats one), then the sealed text
//! with its tag. The seal covers key id, workspace and provider: copied to another row it does not open.

use crate::domain::ProviderName;
use crate::domain::WorkspaceId;
use crate::keys::StoredKey;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::Key;
use chacha20poly1305::KeyInit;
use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::XNonce;
use chacha20poly1305::aead::Aead;
use chacha20poly1305::aead::Generate;
use chacha20poly1305::aead::Payload;
use secrecy::ExposeSecret;
use secrecy::SecretBox;
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

/// Bytes of a master key.
const MASTER_KEY_BYTES: usize = 32;
/// Bytes of the nonce in front of each sealed text.
const NONCE_BYTES: usize = 24;
/// Part of what every seal covers: this program, this purpose, this form.
const PURPOSE: &str = "weir own key v1";

/// Characters of a key that are kept for people.
const SHOWN: usize = 4;
/// A key shorter than this shows nothing: four characters would be half of it.
const SHOWN_FROM: usize = 8;

/// Why a key could not be sealed or opened. Variants are named for what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The master key has the wrong form: set another one and start again.
    #[error("secrets.master_key must be 32 bytes in base64; `openssl rand -base64 32` makes one")]
    BadMasterKey,
    /// The system gave no random bytes: nothing was sealed, try later.
    #[error("the key cannot be sealed: the system gives no random bytes")]
    CannotSeal,
    /// Sealed under another master key or for another owner, or damaged: it has to be stored anew.
    #[error(
        "the own key of {workspace} at {provider} does not open: set secrets.master_key to what it was stored under, \
         or store the key again by `weir key set {workspace} {provider}`"
    )]
    DoesNotOpen {
        /// Whose key.
        workspace: WorkspaceId,
        /// At which provider.
        provider: ProviderName,
    },
}

/// Seals and opens own keys. Wiped on drop, not shown by `Debug`.
#[derive(Debug)]
pub struct MasterKey(SecretBox<[u8; MASTER_KEY_BYTES]>);

/// An opened key. Wiped on drop, not shown by `Debug`.
#[derive(Clone, Debug)]
pub struct KeyMaterial(SecretString);

impl KeyMaterial {
    /// The key itself, for a request's header and nothing else.
    pub const fn secret(&self) -> &SecretString {
        &self.0
    }
}

impl StoredKey {
    /// What people may see of a key: its last four characters, none of a key shorter than eight.
    pub fn last4_of(secret: &SecretString) -> String {
        let text = secret.expose_secret();
        let length = text.chars().count();
        if length < SHOWN_FROM { String::new() } else { text.chars().skip(length - SHOWN).collect() }
    }
}

impl MasterKey {
    /// Reads 32 bytes of standard base64, padded as `openssl` does; spaces around it do not matter.
    ///
    /// # Errors
    /// `BadMasterKey` for anything else; the text is not repeated.
    pub fn parse(text: &SecretString) -> Result<Self, SealError> {
        let mut bytes = Zeroizing::new(Vec::<u8>::new());
        let text = text.expose_secret().trim();
        STANDARD.decode_vec(text, &mut bytes).map_err(|_| SealError::BadMasterKey)?;
        let key = <[u8; MASTER_KEY_BYTES]>::try_from(bytes.as_slice()).map_err(|_| SealError::BadMasterKey)?;
        Ok(Self(SecretBox::new(Box::new(key))))
    }

    /// Seals a key for its owner alone. `key_id` names this key and no other, earlier ones of the same
    /// owner included. Sealed twice, a key looks different each time.
    ///
    /// # Errors
    /// `CannotSeal`.
    pub fn seal(
        &self,
        workspace: &WorkspaceId,
        provider: &ProviderName,
        key_id: &str,
        secret: &SecretString,
    ) -> Result<Vec<u8>, SealError> {
        let nonce = XNonce::try_generate().map_err(|_| SealError::CannotSeal)?;
        let owner = owner_bytes(workspace, provider, key_id);
        let payload = Payload { msg: secret.expose_secret().as_bytes(), aad: &owner };
        let sealed = self.cipher().encrypt(&nonce, payload).map_err(|_| SealError::CannotSeal)?;
        Ok([nonce.as_slice(), sealed.as_slice()].concat())
    }

    /// Opens a stored key, if it was sealed under this master key for the owner it is stored with.
    ///
    /// # Errors
    /// `DoesNotOpen`.
    pub fn open(&self, stored: &StoredKey) -> Result<KeyMaterial, SealError> {
        self.unseal(stored).ok_or_else(|| SealError::DoesNotOpen {
            workspace: stored.workspace.clone(),
            provider: stored.provider.clone(),
        })
    }

    fn unseal(&self, stored: &StoredKey) -> Option<KeyMaterial> {
        let (nonce, sealed) = stored.sealed.split_first_chunk::<NONCE_BYTES>()?;
        let owner = owner_bytes(&stored.workspace, &stored.provider, &stored.key_id);
        let payload = Payload { msg: sealed, aad: &owner };
        let opened = self.cipher().decrypt(<&XNonce>::from(nonce), payload).ok().map(Zeroizing::new)?;
        let text = str::from_utf8(&opened).ok()?;
        Some(KeyMaterial(SecretString::from(text)))
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(<&Key>::from(self.0.expose_secret()))
    }
}

/// What a seal covers besides the key. Each part stands behind its length, so that none runs into the
/// next.
fn owner_bytes(workspace: &WorkspaceId, provider: &ProviderName, key_id: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in [PURPOSE, key_id, workspace.as_str(), provider.as_str()] {
        bytes.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    const KEY: &str = "sk-live-0123456789";

    fn secret(text: &str) -> SecretString {
        SecretString::from(text)
    }

    /// A master key of 32 bytes alike.
    fn master(byte: u8) -> MasterKey {
        MasterKey::parse(&secret(&STANDARD.encode([byte; MASTER_KEY_BYTES]))).unwrap()
    }

    /// The key of acme at leadmagic, sealed under `master(1)`.
    fn stored() -> StoredKey {
        let (workspace, provider) = (WorkspaceId::new("acme"), ProviderName::new("leadmagic"));
        let sealed = master(1).seal(&workspace, &provider, "key_1", &secret(KEY)).unwrap();
        let last4 = StoredKey::last4_of(&secret(KEY));
        StoredKey { workspace, provider, key_id: "key_1".to_owned(), sealed, last4, stored_ms: 0 }
    }

    #[test]
    fn a_sealed_key_opens_for_its_owner_under_its_master_key() {
        assert_eq!(master(1).open(&stored()).unwrap().secret().expose_secret(), KEY);
    }

    #[test]
    fn a_sealed_key_opens_for_nobody_else() {
        let mut bent = stored().sealed;
        *bent.last_mut().unwrap() ^= 1;
        let (workspace, provider) = (WorkspaceId::new("acme2"), ProviderName::new("prospeo"));
        for (what, key) in [
            ("another workspace", StoredKey { workspace, ..stored() }),
            ("another provider", StoredKey { provider, ..stored() }),
            ("another key id", StoredKey { key_id: "key_2".to_owned(), ..stored() }),
            (
                "a name that ends where the next begins",
                StoredKey { workspace: WorkspaceId::new("acmel"), provider: ProviderName::new("eadmagic"), ..stored() },
            ),
            ("a changed tag", StoredKey { sealed: bent, ..stored() }),
            ("a nonce and nothing else", StoredKey { sealed: stored().sealed[..NONCE_BYTES].to_vec(), ..stored() }),
            ("nothing", StoredKey { sealed: Vec::new(), ..stored() }),
        ] {
            let StoredKey { workspace, provider, .. } = key.clone();
            assert_eq!(master(1).open(&key).unwrap_err(), SealError::DoesNotOpen { workspace, provider }, "{what}");
        }
        expect![[r#"the own key of acme at leadmagic does not open: set secrets.master_key to what it was stored under, or store the key again by `weir key set acme leadmagic`"#]]
            .assert_eq(&master(2).open(&stored()).unwrap_err().to_string());
    }

    #[test]
    fn the_same_key_is_sealed_differently_each_time() {
        let (one, other) = (stored(), stored());
        assert_ne!(one.sealed, other.sealed);
        assert_ne!(one.sealed[..NONCE_BYTES], other.sealed[..NONCE_BYTES]);
        assert_ne!(one.sealed[NONCE_BYTES..], other.sealed[NONCE_BYTES..]);
    }

    #[test]
    fn a_master_key_is_32_bytes_of_base64_and_a_bad_one_is_not_shown() {
        let good = STANDARD.encode([7; MASTER_KEY_BYTES]);
        assert!(MasterKey::parse(&secret(&format!(" {good}\n"))).is_ok());
        let (short, long) = (STANDARD.encode([7; 31]), STANDARD.encode([7; 33]));
        for bad in ["", "hunter2", &short, &long, good.trim_end_matches('='), &good.replace('c', "-")] {
            assert_eq!(MasterKey::parse(&secret(bad)).unwrap_err(), SealError::BadMasterKey, "{bad}");
        }
        expect!["secrets.master_key must be 32 bytes in base64; `openssl rand -base64 32` makes one"]
            .assert_eq(&SealError::BadMasterKey.to_string());
    }

    #[test]
    fn debug_shows_no_key() {
        let opened = master(1).open(&stored()).unwrap();
        expect!["KeyMaterial(SecretBox<str>([REDACTED]))"].assert_eq(&format!("{opened:?}"));
        expect!["MasterKey(SecretBox<[u8; 32]>([REDACTED]))"].assert_eq(&format!("{:?}", master(1)));
    }

    #[test]
    fn people_see_the_last_four_characters_of_a_key_and_none_of_a_short_one() {
        for (text, shown) in
            [(KEY, "6789"), ("12345678", "5678"), ("1234567", ""), ("", ""), ("ключ-тест", "тест"), ("schlüß", "")]
        {
            assert_eq!(StoredKey::last4_of(&secret(text)), shown, "{text}");
        }
    }
}
