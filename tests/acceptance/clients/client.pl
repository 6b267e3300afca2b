# Perl's clients in their defaults: MODE, then URL, "Name: value" and FILE of each request, in turn.
use strict;
use warnings;

my ($mode, @rest) = @ARGV;
my $client;
if ($mode eq "lwp") { require LWP::UserAgent; $client = LWP::UserAgent->new(keep_alive => 1); }
else { require HTTP::Tiny; $client = HTTP::Tiny->new; }
while (my ($url, $proof, $file) = splice(@rest, 0, 3)) {
    open(my $in, "<:raw", $file) or die $!;
    my $body = do { local $/; <$in> };
    my ($name, $value) = split(/: /, $proof, 2);
    if ($mode eq "lwp") {
        my $response = $client->post($url, $name => $value, Content => $body);
        print $response->code, " ", $response->content, "\n";
    } elsif ($mode eq "chunked") {
        my @pieces = unpack("(a1000)*", $body);
        my $response = $client->request("POST", $url, { headers => { $name => $value }, content => sub { shift @pieces } });
        print "$response->{status} $response->{content}\n";
    } else {
        my $response = $client->request("POST", $url, { headers => { $name => $value }, content => $body });
        print "$response->{status} $response->{content}\n";
    }
}
