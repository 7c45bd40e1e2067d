/**
 * Era C's device page (reference 10.2): the list of devices behind the guest's RAM, and the rings behind the list.
 *
 *   mem:  | type num_vq feature_len config_len status | vqconfig... | offered, accepted features | config | next one ...  0 |
 *   mem + 4096:  ring of queue 0 of the first device, its next queue, the next device's ...: each of whole pages
 *
 * Interrupt 0 is the guest's timer; each queue has its own, from 1 on. pfn_limit covers all of it.
 */
import { Bytes } from '../bits/bytes.ts'
import { MAX_DEVICES } from '../layout/launcher-state.ts'
import { LGUEST_IRQS } from '../layout/lguest-data.ts'
import { LguestDeviceDesc, LguestVqconfig, VIRTQUEUE_NUM } from '../layout/virtio.ts'
import { PAGE_SIZE } from '../layout/x86.ts'
import type { Device } from './device.ts'
import { UnusableImageError } from './errors.ts'
import type { GuestRam } from './guest-ram.ts'
import { vringLayout } from './virtqueue.ts'

export interface QueuePlace {
  /** gpa of the ring: what the guest NOTIFYs. */
  readonly gpa: number
  readonly irq: number
}

export interface DevicePlace {
  readonly device: Device
  /** gpa of its descriptor. */
  readonly desc: number
  readonly featureLength: number
  readonly queues: readonly QueuePlace[]
}

export interface DevicePage {
  readonly places: readonly DevicePlace[]
  /** Contents of the page. */
  readonly bytes: Uint8Array
  /** First gpa behind the rings. */
  readonly end: number
}

/** Lays out the page at gpa `mem` for `devices`, in their order. Throws UnusableImageError when there are too many. */
export function layOutDevices(mem: number, devices: readonly Device[]): DevicePage {
  const bytes = new Uint8Array(PAGE_SIZE)
  const page = new Bytes(bytes)
  const tooMany = (): never => {
    throw new UnusableImageError(
      'too-many-devices',
      `${devices.length} devices are more than a guest can have; leave some out.`,
    )
  }
  if (devices.length > MAX_DEVICES) tooMany()
  let at = 0
  let ring = mem + PAGE_SIZE
  let irq = 1
  const places = devices.map((device): DevicePlace => {
    const { config, features, queueNames } = device
    const featureLength = Math.ceil((32 - Math.clz32(features)) / 8)
    const size = LguestDeviceDesc.size + LguestVqconfig.size * queueNames.length + 2 * featureLength + config.length
    if (at + size >= PAGE_SIZE || irq + queueNames.length > LGUEST_IRQS) tooMany()
    const desc = LguestDeviceDesc.at(page, at)
    desc.type = device.type
    desc.num_vq = queueNames.length
    desc.feature_len = featureLength
    desc.config_len = config.length
    const queues = queueNames.map((_, i): QueuePlace => {
      const vq = LguestVqconfig.at(page, at + LguestDeviceDesc.size + LguestVqconfig.size * i)
      vq.num = VIRTQUEUE_NUM
      vq.irq = irq
      vq.pfn = ring / PAGE_SIZE
      const place = { gpa: ring, irq }
      ring += Math.ceil(vringLayout(VIRTQUEUE_NUM).size / PAGE_SIZE) * PAGE_SIZE
      irq++
      return place
    })
    const place = { device, desc: mem + at, featureLength, queues }
    const offered = featuresAddress(place) - mem
    for (let i = 0; i < featureLength; i++) bytes[offered + i] = features >>> (8 * i)
    bytes.set(config, offered + 2 * featureLength)
    at += size
    return place
  })
  return { places, bytes, end: ring }
}

/** gpa of the offered features; the accepted ones are behind them. */
function featuresAddress(place: DevicePlace): number {
  return place.desc + LguestDeviceDesc.size + LguestVqconfig.size * place.queues.length
}

/** The features the guest wrote down as accepted, of those that were offered. */
export function acceptedFeatures(ram: GuestRam, place: DevicePlace): number {
  let accepted = 0
  for (let i = 0; i < place.featureLength; i++) {
    accepted |= ram.read8(featuresAddress(place) + place.featureLength + i) << (8 * i)
  }
  return (accepted & place.device.features) >>> 0
}

/** On reset the guest has accepted nothing. */
export function clearAcceptedFeatures(ram: GuestRam, place: DevicePlace): void {
  ram.writeBytes(featuresAddress(place) + place.featureLength, new Uint8Array(place.featureLength))
}
