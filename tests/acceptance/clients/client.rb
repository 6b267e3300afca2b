# Ruby's net/http in its defaults: MODE, then URL, "Name: value" and FILE of each request, in turn.
require "net/http"

mode, *rest = ARGV
uri = URI(rest[0])
Net::HTTP.start(uri.host, uri.port) do |http|
  rest.each_slice(3) do |url, proof, file|
    name, value = proof.split(": ", 2)
    request = Net::HTTP::Post.new(URI(url).path, { name => value })
    if mode == "chunked"
      request["Transfer-Encoding"] = "chunked"
      request.body_stream = File.open(file, "rb")
    else
      request.body = File.binread(file)
    end
    response = http.request(request)
    puts "#{response.code} #{response.body}"
  end
end
