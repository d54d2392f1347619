<?php

// The driver of php-amqplib: runs the features it is told, a JSON line for each.
//
// In come the broker's URLs and FEATURES from the environment (see ../README.md). `driver.php frozen
// QUEUE` is the client that will stand still.

declare(strict_types=1);

require_once 'PhpAmqpLib/autoload.php';
require_once __DIR__ . '/place.php';
require_once __DIR__ . '/scenarios.php';

set_error_handler(function (int $level, string $message, string $file, int $line): bool {
    if (error_reporting() & $level && !($level & (E_DEPRECATED | E_USER_DEPRECATED))) {
        throw new ErrorException($message, 0, $level, $file, $line);
    }
    return true;
});

function say(array $line): void
{
    echo json_encode($line, JSON_INVALID_UTF8_SUBSTITUTE), "\n";
}

function outcome(string $feature): array
{
    $place = new Place();
    try {
        $method = lcfirst(str_replace('-', '', ucwords($feature, '-')));
        return ['result' => 'ok', 'text' => (new Scenarios($place))->$method() ?? ''];
    } catch (Skipped $why) {
        return ['result' => 'skip', 'text' => $why->getMessage()];
    } catch (Throwable $error) {
        fwrite(STDERR, "$error\n");
        preg_match('/scenarios\.php[(:](\d+)/', "{$error->getFile()}:{$error->getLine()}\n$error", $at);
        return ['result' => 'fail', 'text' => 'scenarios.php:' . ($at[1] ?? '?') . " {$error->getMessage()}"];
    } finally {
        $place->tidy();
    }
}

if (($argv[1] ?? '') === 'frozen') {
    // Holds a message, unacked: the one who started us stops this process.
    $channel = new Hearing((new Place())->connect(heartbeat: 1));
    $channel->consume($argv[2]);
    $channel->next();
    say(['ready' => $argv[2]]);
    sleep(600);
}
foreach (explode(',', getenv('FEATURES')) as $feature) {
    say(['feature' => $feature] + outcome($feature));
}
