//! A collector of OpenTelemetry, as small as can be: it takes OTLP over HTTP and keeps what it is told.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message as _;
use tokio::net::TcpListener;

use crate::client::in_time;

#[derive(Clone, Default)]
struct Told(Arc<Mutex<(Vec<ExportTraceServiceRequest>, Vec<u8>)>>);

pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    told: Told,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let told = Told::default();
        let to = told.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let to = to.clone();
                tokio::spawn(async move {
                    let service = service_fn(|request| take(request, to.clone()));
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { address, told }
    }

    /// All spans, once there are so many.
    pub(crate) async fn spans(&self, count: usize) -> Vec<Span> {
        in_time(async {
            loop {
                let spans = self.now();
                if spans.len() >= count {
                    return spans;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
    }

    /// What there is.
    pub(crate) fn now(&self) -> Vec<Span> {
        let told = self.told.0.lock().unwrap();
        let resources = told.0.iter().flat_map(|told| &told.resource_spans);
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    /// An attribute of the one who told.
    pub(crate) fn resource(&self, name: &str) -> String {
        let told = self.told.0.lock().unwrap();
        let resource = told.0[0].resource_spans[0].resource.as_ref().unwrap();
        text(&resource.attributes, name)
    }

    /// All bytes that came.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.told.0.lock().unwrap().1.clone()
    }
}

async fn take(request: Request<Incoming>, to: Told) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.uri().path(), "/v1/traces");
    assert_eq!(request.headers()["content-type"], "application/x-protobuf");
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let told = ExportTraceServiceRequest::decode(body.clone()).unwrap();
    let mut all = to.0.lock().unwrap();
    all.0.push(told);
    all.1.extend(body);
    Ok(Response::new(Full::default()))
}

/// An attribute as text; empty where there is none.
pub(crate) fn text(attributes: &[KeyValue], name: &str) -> String {
    let one = attributes.iter().find(|attribute| attribute.key == name);
    let value = one.and_then(|one| one.value.clone()?.value);
    match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}
