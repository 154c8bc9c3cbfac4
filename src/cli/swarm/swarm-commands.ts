import type { Command } from 'commander'
import type { AddCommand } from '../command.ts'

/** `swarm …`, `peers …`, `ping`, `id`, `find`: sharing answers with other nodes. */
export function addSwarmCommands(program: Command, add: AddCommand): void {
  addMembership(program, add)
  addPeers(program, add)
  add(program, {
    usage: 'ping <peer>',
    summary: 'measure the round trip to a peer',
    load: async () => (await import('../peers/ping.ts')).ping,
  })
    .option('-c, --count <n>', 'how often', '4')
    .option('--json', 'print JSON')
  add(program, {
    usage: 'id',
    summary: 'the peer id of this node; its key is made when there is none',
    load: async () => (await import('./id.ts')).id,
  }).option('--json', 'print JSON')
  add(program, {
    usage: 'find <key>',
    summary: 'which peers hold the answer with this key (exit code 1: nobody)',
    load: async () => (await import('../peers/find.ts')).find,
  }).option('--json', 'print JSON')
}

function addMembership(program: Command, add: AddCommand): void {
  const swarm = program.command('swarm').description('the nodes that share answers with this one')
  add(swarm, {
    usage: 'create',
    summary: 'make a swarm, with a secret that only those you invite learn',
    load: async () => (await import('./create.ts')).create,
  })
    .option('--name <name>', 'what people call it')
    .option('--force', 'even if this folder is in a swarm: leave that one')
    .option('--json', 'print JSON')
  add(swarm, {
    usage: 'invite',
    summary: 'print one line that lets somebody join; whoever has it is a member',
    load: async () => (await import('./invite.ts')).invite,
  }).option('--expires <time>', 'how long it can be used: 12h, 7d or never', '7d')
  add(swarm, {
    usage: 'join <invite>',
    summary: 'join with such a line (- reads stdin)',
    load: async () => (await import('./join.ts')).join,
  })
    .option('--force', 'even if this folder is in another swarm: leave that one')
    .option('--json', 'print JSON')
  add(swarm, {
    usage: 'leave',
    summary: 'share nothing any more, and forget the secret',
    load: async () => (await import('./leave.ts')).leave,
  }).option('--json', 'print JSON')
  add(swarm, {
    usage: 'show',
    summary: 'which swarm it is and who is in it; never the secret',
    load: async () => (await import('./show.ts')).show,
  }).option('--json', 'print JSON')
}

function addPeers(program: Command, add: AddCommand): void {
  const peers = program.command('peers').description('the members that are connected')
  add(peers, {
    usage: 'ls',
    summary: 'list them (also without `ls`)',
    load: async () => (await import('../peers/list-peers.ts')).listPeers,
    isDefault: true,
  }).option('--json', 'print JSON')
  add(peers, {
    usage: 'add <address>',
    summary: 'connect with a member now, and after every start',
    load: async () => (await import('../peers/change-peers.ts')).addPeer,
  }).option('--json', 'print JSON')
  add(peers, {
    usage: 'ban <peer>',
    summary: 'refuse a peer from now on',
    load: async () => (await import('../peers/change-peers.ts')).banPeer,
  }).option('--json', 'print JSON')
  add(peers, {
    usage: 'unban <peer>',
    summary: 'take that back',
    load: async () => (await import('../peers/change-peers.ts')).unbanPeer,
  }).option('--json', 'print JSON')
}
