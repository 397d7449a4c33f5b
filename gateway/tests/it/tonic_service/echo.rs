//! A service whose one method streams both ways: it says what it hears. Its messages are bytes, so
//! that nothing has to be generated.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use bytes::{Buf as _, BufMut as _, Bytes};
use futures_util::{StreamExt as _, future::BoxFuture, stream::BoxStream};
use http::uri::PathAndQuery;
use tonic::{
    Code, Request, Response, Status, Streaming,
    body::Body,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::Service,
    metadata::MetadataMap,
    server::{NamedService, StreamingService},
    transport::Channel,
};

/// The message after which the service fails.
pub(super) const FAIL: &[u8] = b"fail";

const PATH: &str = "/test.Echo/Both";

/// Calls the method.
pub(super) async fn call(
    channel: Channel,
    call: Request<impl futures_util::Stream<Item = Bytes> + Send + 'static>,
) -> Result<Response<Streaming<Bytes>>, Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    client
        .streaming(call, PathAndQuery::from_static(PATH), Plain)
        .await
}

#[derive(Clone)]
pub(super) struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "test.Echo";
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        assert_eq!(request.uri().path(), PATH);
        Box::pin(async {
            let mut server = tonic::server::Grpc::new(Plain);
            Ok(server.streaming(Echo, request).await)
        })
    }
}

impl StreamingService<Bytes> for Echo {
    type Response = Bytes;
    type ResponseStream = BoxStream<'static, Result<Bytes, Status>>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let answers = request.into_inner().map(|message| match message? {
            message if message == FAIL => Err(failure()),
            message => Ok(message),
        });
        ready(Ok(Response::new(answers.boxed())))
    }
}

fn failure() -> Status {
    let mut metadata = MetadataMap::new();
    metadata.insert("x-why", "asked".parse().unwrap());
    let details = Bytes::from_static(b"\0details");
    Status::with_details_and_metadata(Code::Aborted, "100 % of it: ü", details, metadata)
}

/// Messages as they are.
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(message);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
