//! Lists in S3, and in what speaks like it; compiled in with the feature `s3`. Whose they are, and how they
//! are reached, the environment says (`AWS_ACCESS_KEY_ID`, `AWS_REGION`, `AWS_ENDPOINT`, ...).

use crate::crew::sources::Pieces;
use crate::crew::sources::SourceError;
use crate::crew::sources::is_below;
use crate::crew::sources::outside;
use crate::crew::sources::refused;
use crate::crew::sources::spool;
use crate::lists::Input;
use futures_util::Stream;
use futures_util::StreamExt;
use object_store::ClientConfigKey;
use object_store::Error;
use object_store::GetOptions;
use object_store::ObjectStore;
use object_store::RetryConfig;
use object_store::aws::AmazonS3Builder;
use object_store::aws::AmazonS3ConfigKey;
use object_store::path::Path;

const SCHEME: &str = "s3://";
/// Tries of one request; the message itself comes again later.
const RETRIES: usize = 2;
/// For the whole list: the crate's own 30 s would cut a long one off.
const TIMEOUT: &str = "1day";
/// Between two pieces.
const READ_TIMEOUT: &str = "30s";

/// An object on its way.
struct Object<S>(S);

impl<S, B> Pieces for Object<S>
where
    S: Stream<Item = Result<B, Error>> + Send + Unpin,
    B: Into<Vec<u8>>,
{
    async fn next(&mut self) -> Result<Option<Vec<u8>>, SourceError> {
        let piece = self.0.next().await.transpose().map_err(|error| source_error(&error))?;
        Ok(piece.map(Into::into))
    }
}

/// Fetches the object at `s3://BUCKET/KEY`; the key is taken as it is written.
pub(super) async fn fetch(roots: &[String], address: &str) -> Result<Input, SourceError> {
    let (bucket, key) = place_of(roots, address).ok_or_else(outside)?;
    let path = Path::parse(key).map_err(|_| outside())?;
    let store = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_config(AmazonS3ConfigKey::Client(ClientConfigKey::Timeout), TIMEOUT)
        .with_config(AmazonS3ConfigKey::Client(ClientConfigKey::ReadTimeout), READ_TIMEOUT)
        .with_retry(RetryConfig { max_retries: RETRIES, ..RetryConfig::default() })
        .build()
        .map_err(|error| source_error(&error))?;
    let object = store.get_opts(&path, GetOptions::default()).await.map_err(|error| source_error(&error))?;
    spool(key, Object(object.into_stream())).await
}

/// Bucket and key of an address that lies below a root, at a `/`.
fn place_of<'a>(roots: &[String], address: &'a str) -> Option<(&'a str, &'a str)> {
    let place = address.strip_prefix(SCHEME)?;
    let mut roots = roots.iter().filter_map(|root| root.strip_prefix(SCHEME));
    // Not a path on a disk, but whoever serves it may take it for one.
    let climbs = place.split('/').any(|part| part == "." || part == "..");
    if climbs || !roots.any(|root| !root.is_empty() && is_below(root, place)) {
        return None;
    }
    let (bucket, key) = place.split_once('/')?;
    (!bucket.is_empty() && !key.is_empty()).then_some((bucket, key))
}

/// What the service says is not repeated: it may hold the key.
fn source_error(error: &Error) -> SourceError {
    if matches!(error, Error::NotFound { .. }) {
        refused("names an object that is not there")
    } else if matches!(error, Error::PermissionDenied { .. } | Error::Unauthenticated { .. }) {
        refused("names an object that S3 denies")
    } else {
        SourceError::Passing("cannot be had from S3 now".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_lies_below_a_root_at_a_border_of_its_key() {
        let roots = ["s3://lists/weir/", "s3://open", "s3://", "https://other/"].map(str::to_owned);
        for (address, place) in [
            ("s3://lists/weir/a b.csv", Some(("lists", "weir/a b.csv"))),
            ("s3://open/2026/a.csv", Some(("open", "2026/a.csv"))),
            ("s3://open/", None),
            ("s3://open", None),
            ("s3://lists/weirdo/a.csv", None),
            ("s3://lists/weir/../a.csv", None),
            ("s3://opened/a.csv", None),
            ("s3://other/a.csv", None),
        ] {
            assert_eq!(place_of(&roots, address), place, "{address}");
        }
    }
}
