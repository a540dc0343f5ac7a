//! The S3 operations on the store.

use crate::{
    keys::Keys,
    store::{Condition, Object, Staged, Store, StoreError},
};
use futures::StreamExt as _;
use s3s::{
    S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result,
    dto::{
        AbortMultipartUploadInput, AbortMultipartUploadOutput, CommonPrefix, CompleteMultipartUploadInput,
        CompleteMultipartUploadOutput, CompletedPart, CreateMultipartUploadInput,
        CreateMultipartUploadOutput, DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput,
        DeleteObjectsOutput, DeletedObject, ETag, ETagCondition, GetObjectInput, GetObjectOutput,
        HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListMultipartUploadsInput,
        ListMultipartUploadsOutput, ListObjectsV2Input, ListObjectsV2Output, MultipartUpload,
        Object as Listed, PutObjectInput, PutObjectOutput, StreamingBlob, Timestamp, UploadPartInput,
        UploadPartOutput,
    },
    s3_error,
};
use std::{fs::File, io, ops::Range, sync::Arc};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

mod base64;
mod page;

use page::Page;

/// The maximum number of keys in a page of a list (S3's limit).
const PAGE: usize = 1000;
/// The size of the pieces in which objects are sent, in bytes.
const PIECE: usize = 128 << 10;

/// The S3 service of a [`Store`].
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) store: Arc<Store>,
    pub(crate) keys: Keys,
}

impl Service {
    /// Converts the error of a read. A key that may not list learns of no object that it is absent.
    fn unread<T>(&self, error: StoreError, request: &S3Request<T>) -> S3Error {
        let lists = request.credentials.as_ref().is_some_and(|signer| self.keys.lists(&signer.access_key));
        match error {
            StoreError::NoObject if !lists => s3_error!(AccessDenied, "this key may not list the bucket"),
            error => error.into(),
        }
    }
}

impl From<StoreError> for S3Error {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::NoBucket => S3ErrorCode::NoSuchBucket,
            StoreError::NoObject => S3ErrorCode::NoSuchKey,
            StoreError::NoUpload => S3ErrorCode::NoSuchUpload,
            StoreError::KeyTooLong => S3ErrorCode::KeyTooLongError,
            StoreError::Condition => S3ErrorCode::PreconditionFailed,
            StoreError::Digest => S3ErrorCode::BadDigest,
            StoreError::Part(_) => S3ErrorCode::InvalidPart,
            StoreError::SmallPart(_) => S3ErrorCode::EntityTooSmall,
            StoreError::Io(_) => S3ErrorCode::InternalError,
        };
        Self::with_message(code, error.to_string())
    }
}

fn tag(object: &Object) -> Option<ETag> {
    Some(ETag::Strong(object.tag.clone()))
}

fn length(bytes: u64) -> Option<i64> {
    Some(i64::try_from(bytes).unwrap_or(i64::MAX))
}

/// Converts `If-Match` and `If-None-Match` into the condition of a write.
fn condition(matches: Option<&ETagCondition>, differs: Option<&ETagCondition>) -> S3Result<Condition> {
    match (matches, differs) {
        (None, None) => Ok(Condition::None),
        (None, Some(ETagCondition::Any)) => Ok(Condition::Absent),
        (Some(ETagCondition::ETag(tag)), None) => Ok(Condition::Is(tag.value().to_owned())),
        _ => Err(s3_error!(
            NotImplemented,
            "writes support only If-None-Match: * and If-Match with one entity tag"
        )),
    }
}

/// Checks the conditions of a read, in the order of RFC 9110 section 13.2.2.
fn check_read(
    object: &Object,
    matches: Option<&ETagCondition>,
    differs: Option<&ETagCondition>,
) -> S3Result<()> {
    let is = |condition: &ETagCondition| match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(tag) => tag.value() == object.tag,
    };
    if !matches.is_none_or(is) {
        return Err(s3_error!(PreconditionFailed, "the object has another entity tag"));
    }
    if differs.is_some_and(is) { Err(s3_error!(NotModified)) } else { Ok(()) }
}

/// Writes the body of a request into a staged file.
async fn receive(mut staged: Staged, body: Option<StreamingBlob>) -> S3Result<Staged> {
    let Some(mut body) = body else { return Ok(staged) };
    while let Some(bytes) = body.next().await {
        let bytes = bytes.map_err(|error| S3Error::with_source(S3ErrorCode::IncompleteBody, error))?;
        staged.write(&bytes).map_err(StoreError::Io)?;
    }
    Ok(staged)
}

/// Streams the bytes `range` of a file, in pieces.
fn send(file: File, range: Range<u64>) -> StreamingBlob {
    let file = tokio::fs::File::from_std(file);
    let pieces =
        futures::stream::try_unfold((file, range, true), |(mut file, mut range, first)| async move {
            if range.is_empty() {
                return Ok(None);
            }
            if first {
                file.seek(io::SeekFrom::Start(range.start)).await?;
            }
            let wanted = usize::try_from(range.end - range.start).unwrap_or(PIECE).min(PIECE);
            let mut piece = bytes::BytesMut::with_capacity(wanted);
            if (&mut file).take(wanted as u64).read_buf(&mut piece).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            range.start += piece.len() as u64;
            Ok(Some((piece.freeze(), (file, range, false))))
        });
    StreamingBlob::wrap(Box::pin(pieces))
}

fn checksum(text: Option<&String>) -> S3Result<Option<[u8; 4]>> {
    let wrong = || s3_error!(InvalidRequest, "a CRC-32 is four bytes in base64");
    text.map(|text| base64::decode4(text).ok_or_else(wrong)).transpose()
}

/// Returns the checksum of a request, from a header or from a trailer after its body.
fn promised<T>(request: &S3Request<T>, header: Option<&String>) -> S3Result<Option<[u8; 4]>> {
    let trailer = request.trailing_headers.as_ref().and_then(|trailers| {
        trailers
            .read(|headers| headers.get("x-amz-checksum-crc32")?.to_str().ok().map(str::to_owned))
            .flatten()
    });
    checksum(header.or(trailer.as_ref()))
}

#[async_trait::async_trait]
impl S3 for Service {
    async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.store.check_bucket(&request.input.bucket)?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn put_object(
        &self,
        mut request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let body = request.input.body.take();
        let staged = receive(self.store.stage(&request.input.bucket, &request.input.key)?, body).await?;
        staged.check(promised(&request, request.input.checksum_crc32.as_ref())?)?;
        let crc32 = base64::encode4(staged.crc32());
        let input = &request.input;
        let condition = condition(input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let object = self.store.commit(&input.bucket, &input.key, staged, &condition)?;
        let output =
            PutObjectOutput { e_tag: tag(&object), checksum_crc32: Some(crc32), ..Default::default() };
        Ok(S3Response::new(output))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let found = self.store.get(&request.input.bucket, &request.input.key);
        let (object, file) = found.map_err(|error| self.unread(error, &request))?;
        let input = request.input;
        check_read(&object, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let range = input.range.map_or(Ok(0..object.size), |range| range.check(object.size))?;
        let content_range = input
            .range
            .map(|_| format!("bytes {}-{}/{}", range.start, range.end.saturating_sub(1), object.size));
        let output = GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: length(range.end - range.start),
            content_range,
            e_tag: tag(&object),
            last_modified: Some(Timestamp::from(object.modified)),
            body: Some(send(file, range)),
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let found = self.store.head(&request.input.bucket, &request.input.key);
        let object = found.map_err(|error| self.unread(error, &request))?;
        let input = request.input;
        check_read(&object, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let output = HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: length(object.size),
            e_tag: tag(&object),
            last_modified: Some(Timestamp::from(object.modified)),
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        let most = input.max_keys.map_or(PAGE, |most| usize::try_from(most).unwrap_or(0).min(PAGE));
        let prefix = input.prefix.clone().unwrap_or_default();
        let after = input.continuation_token.clone().or_else(|| input.start_after.clone());
        let page = Page::read(&self.store, &input.bucket, &prefix, input.delimiter.as_deref(), after, most)?;
        let listed = |(key, object): (String, Object)| Listed {
            e_tag: tag(&object),
            last_modified: Some(Timestamp::from(object.modified)),
            size: length(object.size),
            key: Some(key),
            ..Default::default()
        };
        let output = ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: input.prefix,
            delimiter: input.delimiter,
            start_after: input.start_after,
            continuation_token: input.continuation_token,
            max_keys: Some(i32::try_from(most).unwrap_or(i32::MAX)),
            key_count: Some(i32::try_from(page.objects.len() + page.prefixes.len()).unwrap_or(i32::MAX)),
            is_truncated: Some(page.next.is_some()),
            next_continuation_token: page.next,
            common_prefixes: Some(
                page.prefixes.into_iter().map(|p| CommonPrefix { prefix: Some(p) }).collect(),
            ),
            contents: Some(page.objects.into_iter().map(listed).collect()),
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.store.delete(&request.input.bucket, &request.input.key)?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let input = request.input;
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for object in input.delete.objects {
            match self.store.delete(&input.bucket, &object.key) {
                Ok(()) => deleted.push(DeletedObject { key: Some(object.key), ..Default::default() }),
                Err(error) => {
                    let error = S3Error::from(error);
                    errors.push(s3s::dto::Error {
                        code: Some(error.code().as_str().to_owned()),
                        key: Some(object.key),
                        message: error.message().map(str::to_owned),
                        ..Default::default()
                    });
                }
            }
        }
        let deleted = (!input.delete.quiet.unwrap_or(false)).then_some(deleted);
        Ok(S3Response::new(DeleteObjectsOutput { deleted, errors: Some(errors), ..Default::default() }))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = request.input;
        let id = self.store.begin_upload(&input.bucket, &input.key, input.checksum_algorithm.is_some())?;
        let output = CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            checksum_algorithm: input.checksum_algorithm,
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }

    async fn upload_part(
        &self,
        mut request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let body = request.input.body.take();
        let staged = receive(self.store.stage(&request.input.bucket, &request.input.key)?, body).await?;
        staged.check(promised(&request, request.input.checksum_crc32.as_ref())?)?;
        let input = request.input;
        let crc32 = base64::encode4(staged.crc32());
        let tag =
            self.store.add_part(&input.bucket, (&input.key, &input.upload_id), input.part_number, staged)?;
        let e_tag = Some(ETag::Strong(tag));
        Ok(S3Response::new(UploadPartOutput { e_tag, checksum_crc32: Some(crc32), ..Default::default() }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = request.input;
        let condition = condition(input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let parts = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let names = parts.into_iter().map(part_name).collect::<S3Result<Vec<_>>>()?;
        let store = Arc::clone(&self.store);
        let bucket = input.bucket.clone();
        let key = input.key.clone();
        let join = move || store.complete_upload(&bucket, (&key, &input.upload_id), &names, &condition);
        let object = tokio::task::spawn_blocking(join).await.map_err(|e| s3_error!(e, InternalError))??;
        let output = CompleteMultipartUploadOutput {
            e_tag: tag(&object),
            bucket: Some(input.bucket),
            key: Some(input.key),
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let input = request.input;
        self.store.abort_upload(&input.bucket, &input.key, &input.upload_id)?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let input = request.input;
        let prefix = input.prefix.clone().unwrap_or_default();
        let uploads =
            self.store.uploads(&input.bucket)?.into_iter().filter(|(key, ..)| key.starts_with(&prefix));
        let uploads = uploads.take(PAGE).map(|(key, id, started)| MultipartUpload {
            key: Some(key),
            upload_id: Some(id),
            initiated: Some(Timestamp::from(started)),
            ..Default::default()
        });
        let output = ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            prefix: input.prefix,
            uploads: Some(uploads.collect()),
            is_truncated: Some(false),
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }
}

fn part_name(part: CompletedPart) -> S3Result<crate::store::PartName> {
    let missing = |what| S3Error::with_message(S3ErrorCode::InvalidPart, what);
    Ok(crate::store::PartName {
        number: part.part_number.ok_or_else(|| missing("a part without a number"))?,
        tag: part.e_tag.ok_or_else(|| missing("a part without an entity tag"))?.into_value(),
        crc32: checksum(part.checksum_crc32.as_ref())?,
    })
}
