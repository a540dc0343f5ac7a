//! Buckets: the location of a neuron's objects, and the credentials to read them.

use super::{Endpoint, EndpointError, FieldError, VERSION, endpoint, kind, open};
use base::{Secret, wire::Writer};

/// Number of characters in Templar's form: account, access key, secret.
const R2_LENGTHS: [usize; 3] = [32, 32, 64];
/// The sum of [`R2_LENGTHS`].
const R2_TOTAL: usize = 128;
/// The region that R2 takes for all buckets.
const R2_REGION: &str = "auto";
/// Most characters of a region.
const MOST_REGION: u16 = 32;
/// Most characters of a bucket's name (the rule of S3).
const MOST_NAME: u16 = 63;
/// Most characters of an access key.
const MOST_ACCESS_KEY: u16 = 128;
/// Most characters of a secret.
const MOST_SECRET: u16 = 256;

/// A bucket that every node can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    location: Location,
    credentials: Option<ReadCredentials>,
}

/// The location of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A bucket on Cloudflare R2 that is named like its account, as Templar's miners announced theirs.
    R2 {
        /// Cloudflare's account id: 32 hex digits. It is also the bucket's name.
        account: String,
    },
    /// A bucket at any other service that speaks S3.
    S3 {
        /// The service.
        endpoint: Endpoint,
        /// The region that requests are signed for.
        region: String,
        /// The bucket's name.
        name: String,
    },
}

/// A key that may read one bucket. It is public by design, but never printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadCredentials {
    /// The key's name.
    pub access_key: Secret,
    /// The key.
    pub secret: Secret,
}

/// The reason why values do not describe a bucket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BucketError {
    /// An R2 account id of another form.
    #[error("the R2 account `{0}` is not 32 hex digits in lower case")]
    Account(String),
    /// A key of the wrong length or with wrong characters. The error does not show it.
    #[error("the bucket's {what} must be {expected} letters or digits; it has {length} characters")]
    Key {
        /// The name of the key.
        what: &'static str,
        /// The expected length.
        expected: &'static str,
        /// The length found.
        length: usize,
    },
    /// An invalid endpoint.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// A bucket name that breaks the rules of S3.
    #[error("invalid bucket name `{0}`: use 3 to 63 of a-z, 0-9, `-`, `.`, a letter or digit at both ends")]
    Name(String),
    /// An invalid region.
    #[error("invalid region `{0}`: use 1 to 32 of a-z, 0-9 and `-`, like eu-central-1")]
    Region(String),
}

impl Bucket {
    /// Creates a bucket on Cloudflare R2 that is named like its account.
    ///
    /// # Errors
    /// A value is not in Templar's form. The error names it.
    pub fn r2(account: &str, access_key: &str, secret: &str) -> Result<Self, BucketError> {
        if !is_lower_hex(account, R2_LENGTHS[0]) {
            return Err(BucketError::Account(short(account)));
        }
        check_key("R2 access key", access_key, "32", |length| length == R2_LENGTHS[1])?;
        check_key("R2 secret", secret, "64", |length| length == R2_LENGTHS[2])?;
        let credentials =
            ReadCredentials { access_key: Secret::new(access_key), secret: Secret::new(secret) };
        Ok(Self { location: Location::R2 { account: account.into() }, credentials: Some(credentials) })
    }

    /// Creates a bucket at another service. Without credentials it is readable by all.
    ///
    /// # Errors
    /// A value is invalid. [`Endpoint::check`] decides whether a node will connect there.
    pub fn s3(
        endpoint: &str,
        region: &str,
        name: &str,
        credentials: Option<ReadCredentials>,
    ) -> Result<Self, BucketError> {
        let location = location(endpoint, region, name)?;
        if let Some(credentials) = &credentials {
            credentials.check()?;
        }
        Ok(Self { location, credentials })
    }

    pub(super) fn from_parts(location: Location, credentials: Option<ReadCredentials>) -> Self {
        Self { location, credentials }
    }

    /// Returns its location.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Returns the address of the service.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        match &self.location {
            Location::R2 { account } => Endpoint::https(format!("{account}.r2.cloudflarestorage.com")),
            Location::S3 { endpoint, .. } => endpoint.clone(),
        }
    }

    /// Returns the region that requests are signed for.
    #[must_use]
    pub fn region(&self) -> &str {
        match &self.location {
            Location::R2 { .. } => R2_REGION,
            Location::S3 { region, .. } => region,
        }
    }

    /// Returns the name of the bucket.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.location {
            Location::R2 { account } => account,
            Location::S3 { name, .. } => name,
        }
    }

    /// Returns the credentials to read it, or `None` if it is open to all.
    #[must_use]
    pub fn credentials(&self) -> Option<&ReadCredentials> {
        self.credentials.as_ref()
    }

    /// Encodes the bytes of field 0.
    pub(super) fn write_location(&self) -> Vec<u8> {
        match (&self.location, &self.credentials) {
            (Location::R2 { account }, Some(ReadCredentials { access_key, secret })) => {
                [account, access_key.expose(), secret.expose()].concat().into_bytes()
            }
            (Location::R2 { .. }, None) => unreachable!("a bucket on R2 is made with credentials"),
            (Location::S3 { endpoint, region, name }, _) => {
                let mut to = Writer::new();
                to.u8(kind::BUCKET).u8(VERSION).text(&endpoint.to_string()).text(region).text(name);
                to.into_bytes()
            }
        }
    }

    /// Encodes the bytes of field 2, if the bucket has one.
    pub(super) fn write_credentials(&self) -> Option<Vec<u8>> {
        let (Location::S3 { .. }, Some(credentials)) = (&self.location, &self.credentials) else {
            return None;
        };
        let mut to = Writer::new();
        to.u8(kind::CREDENTIALS).u8(VERSION);
        to.text(credentials.access_key.expose()).text(credentials.secret.expose());
        Some(to.into_bytes())
    }
}

impl ReadCredentials {
    fn check(&self) -> Result<(), BucketError> {
        let most = |most: u16| move |length: usize| (1..=usize::from(most)).contains(&length);
        check_key("access key", self.access_key.expose(), "1 to 128", most(MOST_ACCESS_KEY))?;
        check_key("secret", self.secret.expose(), "1 to 256", most(MOST_SECRET))
    }
}

/// Decodes Templar's form: 128 letters and digits. Returns `None` for another form.
pub(super) fn read_r2(bytes: &[u8]) -> Option<Result<(Location, ReadCredentials), FieldError>> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() == R2_TOTAL)?;
    if !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let (account, rest) = text.split_at(R2_LENGTHS[0]);
    let (access_key, secret) = rest.split_at(R2_LENGTHS[1]);
    let bucket = Bucket::r2(account, access_key, secret).map_err(FieldError::from);
    Some(bucket.and_then(|bucket| Ok((bucket.location, bucket.credentials.ok_or(FieldError::Foreign)?))))
}

/// Decodes field 0 of a bucket that is not on R2.
pub(super) fn read_location(bytes: &[u8]) -> Result<Location, FieldError> {
    let (_, mut from) = open(bytes, &[kind::BUCKET])?;
    let endpoint = from.text("the endpoint", most_endpoint())?;
    let region = from.text("the region", MOST_REGION)?;
    let name = from.text("the bucket's name", MOST_NAME)?;
    from.finish("the bucket")?;
    Ok(location(endpoint, region, name)?)
}

/// Decodes field 2.
pub(super) fn read_credentials(bytes: &[u8]) -> Result<ReadCredentials, FieldError> {
    let (_, mut from) = open(bytes, &[kind::CREDENTIALS])?;
    let access_key = Secret::new(from.text("the access key", MOST_ACCESS_KEY)?);
    let secret = Secret::new(from.text("the secret", MOST_SECRET)?);
    from.finish("the credentials")?;
    let credentials = ReadCredentials { access_key, secret };
    credentials.check()?;
    Ok(credentials)
}

fn most_endpoint() -> u16 {
    u16::try_from(endpoint::MOST_CHARACTERS).expect("a small number")
}

fn location(endpoint: &str, region: &str, name: &str) -> Result<Location, BucketError> {
    let endpoint = endpoint.parse()?;
    if !is_name(name) {
        return Err(BucketError::Name(short(name)));
    }
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if !(1..=usize::from(MOST_REGION)).contains(&region.len()) || !region.bytes().all(word) {
        return Err(BucketError::Region(short(region)));
    }
    Ok(Location::S3 { endpoint, region: region.into(), name: name.into() })
}

/// Checks whether a bucket may have this name: it becomes a part of addresses and paths.
fn is_name(text: &str) -> bool {
    let outer = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let inner = |b: u8| outer(b) || b == b'-' || b == b'.';
    let ends = [text.bytes().next(), text.bytes().last()];
    (3..=usize::from(MOST_NAME)).contains(&text.len())
        && text.bytes().all(inner)
        && ends.into_iter().flatten().all(outer)
        && !text.contains("..")
}

fn is_lower_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Checks a key without ever printing it. Keys of known services are letters, digits and a few
/// signs of base64.
fn check_key(
    what: &'static str,
    key: &str,
    expected: &'static str,
    fits: impl Fn(usize) -> bool,
) -> Result<(), BucketError> {
    let sign = |b: u8| b.is_ascii_alphanumeric() || b"+/=_-.".contains(&b);
    if fits(key.len()) && key.bytes().all(sign) {
        Ok(())
    } else {
        Err(BucketError::Key { what, expected, length: key.len() })
    }
}

/// Returns the beginning of a text, for messages.
fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(access_key: &str, secret: &str) -> ReadCredentials {
        ReadCredentials { access_key: Secret::new(access_key), secret: Secret::new(secret) }
    }

    #[test]
    fn an_r2_bucket_is_named_like_its_account() {
        let account = "0123456789abcdef0123456789abcdef";
        let bucket = Bucket::r2(account, &"k".repeat(32), &"s".repeat(64)).unwrap();
        assert_eq!(bucket.endpoint().to_string(), format!("https://{account}.r2.cloudflarestorage.com"));
        assert_eq!((bucket.name(), bucket.region()), (account, "auto"));
    }

    #[test]
    fn what_is_no_bucket() {
        let r2 = |account: &str, key: &str, secret: &str| {
            Bucket::r2(account, key, secret).unwrap_err().to_string()
        };
        let (a, k, s) = ("a".repeat(32), "k".repeat(32), "s".repeat(64));
        assert_eq!(r2("evil.com/", &k, &s), "the R2 account `evil.com/` is not 32 hex digits in lower case");
        assert!(r2(&"A".repeat(32), &k, &s).contains("in lower case"));
        assert_eq!(
            r2(&a, "k", &s),
            "the bucket's R2 access key must be 32 letters or digits; it has 1 characters"
        );
        assert!(!r2(&a, &k, "secret word").contains("secret word"));

        let s3 = |endpoint: &str, region: &str, name: &str, keys: Option<ReadCredentials>| {
            Bucket::s3(endpoint, region, name, keys).unwrap_err().to_string()
        };
        let fine = "https://s3.example.com";
        assert!(s3("s3.example.com", "auto", "abc", None).contains("must begin with https://"));
        assert!(s3(fine, "", "abc", None).contains("invalid region ``"));
        assert!(s3(fine, "US East", "abc", None).contains("invalid region `US East`"));
        for name in ["ab", "Abc", "-abc", "abc-", "a..b", "a/b", "a_b", &"a".repeat(64)] {
            assert!(s3(fine, "auto", name, None).contains("bucket name"), "{name}");
        }
        assert!(s3(fine, "auto", "abc", Some(credentials("", "s"))).contains("access key"));
        let hidden = s3(fine, "auto", "abc", Some(credentials("k", "top\nsecret")));
        assert!(hidden.contains("secret must be") && !hidden.contains("top"));
    }

    #[test]
    fn credentials_are_not_shown() {
        let (key, secret) = ("k".repeat(32), "5".repeat(64));
        let shown = format!("{:?}", Bucket::r2(&"a".repeat(32), &key, &secret));
        assert!(!shown.contains(&key) && !shown.contains(&secret), "{shown}");
    }
}
