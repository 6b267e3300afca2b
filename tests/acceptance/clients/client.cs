// .NET's clients, in their defaults: MODE, then URL, "Name: value" and FILE of each request, in turn.
using System;
using System.IO;
using System.Net;
using System.Net.Http;

static class Client
{
    static readonly HttpClient Shared = new HttpClient();

    static void Main(string[] args)
    {
        for (int at = 1; at < args.Length; at += 3)
        {
            string[] proof = args[at + 1].Split(new[] { ": " }, 2, StringSplitOptions.None);
            byte[] body = File.ReadAllBytes(args[at + 2]);
            switch (args[0])
            {
                case "sized": Post(args[at], proof, new ByteArrayContent(body), false); break;
                case "chunked": Post(args[at], proof, new StreamContent(new MemoryStream(body)), true); break;
                case "old": Old(args[at], proof, body); break;
                default: throw new ArgumentException(args[0]);
            }
        }
    }

    static void Post(string url, string[] proof, HttpContent content, bool chunked)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, url) { Content = content };
        request.Headers.TryAddWithoutValidation(proof[0], proof[1]);
        if (chunked)
        {
            request.Headers.TransferEncodingChunked = true;
        }
        using (HttpResponseMessage response = Shared.SendAsync(request).Result)
        {
            Console.WriteLine((int)response.StatusCode + " " + response.Content.ReadAsStringAsync().Result);
        }
    }

    static void Old(string url, string[] proof, byte[] body)
    {
        var request = (HttpWebRequest)WebRequest.Create(url);
        request.Method = "POST";
        request.Headers[proof[0]] = proof[1];
        using (Stream stream = request.GetRequestStream())
        {
            stream.Write(body, 0, body.Length);
        }
        using (var response = (HttpWebResponse)request.GetResponse())
        using (var reader = new StreamReader(response.GetResponseStream()))
        {
            Console.WriteLine((int)response.StatusCode + " " + reader.ReadToEnd());
        }
    }
}
