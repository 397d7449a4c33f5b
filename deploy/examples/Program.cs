// A service in .NET (minimal API) behind obo-gateway: it holds no secret, checks no token, and asks Azure as the user.
//
// What comes is let in already: Authorization has the user's token for Azure Resource Manager, X-Obo-Oid says whose.

using System.Net.Http.Headers;
using System.Text.Json;

var builder = WebApplication.CreateBuilder(args);
// Loopback alone: whoever reached it past the gateway would not be checked.
builder.WebHost.UseUrls($"http://127.0.0.1:{Environment.GetEnvironmentVariable("PORT") ?? "3000"}");
builder.Services.AddHttpClient("arm", client =>
{
    client.BaseAddress = new Uri(Environment.GetEnvironmentVariable("ARM_URL") ?? "https://management.azure.com");
    client.Timeout = TimeSpan.FromSeconds(30);
    // Azure has no redirects, and the user's token is for Azure alone.
}).ConfigurePrimaryHttpMessageHandler(() => new SocketsHttpHandler { AllowAutoRedirect = false });
var app = builder.Build();

app.MapGet("/healthz", () => new { status = "ok" });

app.MapGet("/{**path}", async (HttpContext context, IHttpClientFactory clients) =>
{
    var arm = clients.CreateClient("arm");
    var names = new List<string?>();
    try
    {
        // Azure answers in pages.
        for (Uri? url = new(arm.BaseAddress!, "/subscriptions?api-version=2022-12-01"); url is not null;)
        {
            // The token is for Azure alone.
            if (url.GetLeftPart(UriPartial.Authority) != arm.BaseAddress!.GetLeftPart(UriPartial.Authority))
                return Results.Json(new { error = "azure" }, statusCode: 502);
            using var request = new HttpRequestMessage(HttpMethod.Get, url);
            request.Headers.Authorization = AuthenticationHeaderValue.Parse(context.Request.Headers.Authorization.ToString());
            using var asked = await arm.SendAsync(request, context.RequestAborted);
            if (!asked.IsSuccessStatusCode)
            {
                // Azure's challenge has to reach the caller, who alone can answer it: the gateway passes it on. So has the time to wait.
                foreach (var name in new[] { "WWW-Authenticate", "Retry-After" })
                    if (asked.Headers.NonValidated.TryGetValues(name, out var values))
                        context.Response.Headers[name] = values.ToArray();
                var status = (int)asked.StatusCode;
                return Results.Json(new { error = "azure" }, statusCode: status < 400 ? 502 : status);
            }
            using var page = JsonDocument.Parse(await asked.Content.ReadAsStringAsync(context.RequestAborted));
            names.AddRange(page.RootElement.GetProperty("value").EnumerateArray()
                .Select(each => each.GetProperty("displayName").GetString()));
            url = page.RootElement.TryGetProperty("nextLink", out var next) && next.GetString() is { } link ? new Uri(link) : null;
        }
    }
    catch (Exception error) when (!context.RequestAborted.IsCancellationRequested)
    {
        // Away, too slow, cut off, or no such list.
        app.Logger.LogError(error, "Azure");
        return Results.Json(new { error = "azure" }, statusCode: 502);
    }
    return Results.Json(new { user = context.Request.Headers["X-Obo-Oid"].ToString(), subscriptions = names });
});

app.Run();
