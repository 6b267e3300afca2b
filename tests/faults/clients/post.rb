# Posts files with Ruby's own client in its defaults: post.rb URL (FILE SIGNATURE)...
require "net/http"

url = URI(ARGV.shift)
Net::HTTP.start(url.host, url.port) do |http|
  ARGV.each_slice(2) do |file, signature|
    headers = { "Content-Type" => "application/json", "X-Signature" => signature }
    puts http.post(url.path, File.binread(file), headers).code
  end
end
