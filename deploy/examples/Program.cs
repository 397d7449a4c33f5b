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
});
var app = builder.Build();

app.MapGet("/healthz", () => new { status = "ok" });

app.MapGet("/{**path}", async (HttpContext context, IHttpClientFactory clients) =>
{
    using var request = new HttpRequestMessage(HttpMethod.Get, "/subscriptions?api-version=2022-12-01");
    request.Headers.Authorization = AuthenticationHeaderValue.Parse(context.Request.Headers.Authorization.ToString());
    using var asked = await clients.CreateClient("arm").SendAsync(request, context.RequestAborted);
    if (!asked.IsSuccessStatusCode)
    {
        // Azure's challenge has to reach the caller, who alone can answer it: the gateway passes it on.
        if (asked.Headers.TryGetValues("WWW-Authenticate", out var challenges))
            context.Response.Headers.WWWAuthenticate = challenges.ToArray();
        return Results.Json(new { error = "azure" }, statusCode: (int)asked.StatusCode);
    }
    using var document = JsonDocument.Parse(await asked.Content.ReadAsStringAsync());
    var names = document.RootElement.GetProperty("value").EnumerateArray()
        .Select(each => each.GetProperty("displayName").GetString()).ToArray();
    return Results.Json(new { user = context.Request.Headers["X-Obo-Oid"].ToString(), subscriptions = names });
});

app.Run();
