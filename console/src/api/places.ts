/** The rows of /api/v1 about where things come from and go to, about numbers over time, and about who does what. */
import type { components } from './openapi';

type Schemas = components['schemas'];

export type Node = Schemas['Node'];
export type Status = Schemas['Status'];
export type RunningSettings = Schemas['RunningSettings'];

export type Destination = Schemas['Destination'];
export type DestinationDetail = Schemas['DestinationDetail'];
export type DestinationAttempt = Schemas['DestinationAttempt'];

export type Source = Schemas['Source'];
export type SourceDetail = Schemas['SourceDetail'];
export type SourceTest = Schemas['SourceTest'];
export type Rejection = Schemas['Rejection'];

export type Statistics = Schemas['Statistics'];
export type Line = Schemas['StatisticsLine'];
export type Quantiles = Schemas['Quantiles'];
export type Series = Line['name'];

export type User = Schemas['User'];
export type Role = User['role'];
export type Token = Schemas['Token'];
export type Scope = Token['scopes'][number];
export type NewToken = Schemas['NewToken'];
export type KeptSession = Schemas['KeptSession'];

export type Alert = Schemas['Alert'];
export type Silence = Schemas['Silence'];
